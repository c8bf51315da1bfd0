// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

// The measuring ground: the echo servers in C that Noria is held against, the load that drives
// them all, and what single operations cost on a loop. A package of its own, so that nobody who
// uses Noria builds it.
let package = Package(
    name: "noria-benchmarks",
    products: [
        .executable(name: "reference-epoll", targets: ["EchoReferenceEpoll"]),
        .executable(name: "reference-io_uring", targets: ["EchoReferenceIOUring"]),
        .executable(name: "echo-load", targets: ["EchoLoad"]),
        .executable(name: "costs-noria", targets: ["CostsNoria"]),
        .executable(name: "costs-reference", targets: ["CostsReference"]),
        .executable(name: "processes-noria", targets: ["ProcessesNoria"]),
        .executable(name: "files-noria", targets: ["FilesNoria"]),
        .executable(name: "shapes-noria", targets: ["ShapesNoria"]),
    ],
    dependencies: [.package(name: "noria", path: "..")],
    targets: [
        .target(name: "EchoListener"),
        .executableTarget(name: "EchoReferenceEpoll", dependencies: ["EchoListener"]),
        .executableTarget(name: "EchoReferenceIOUring", dependencies: ["EchoListener"]),
        .executableTarget(name: "EchoLoad"),
        .target(name: "BareJob"),
        .executableTarget(
            name: "CostsNoria",
            dependencies: ["BareJob", .product(name: "Noria", package: "noria")],
            swiftSettings: [
                .enableUpcomingFeature("ExistentialAny"),
                .enableUpcomingFeature("MemberImportVisibility"),
                .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
                .treatAllWarnings(as: .error),
            ]
        ),
        .executableTarget(name: "CostsReference"),
        .executableTarget(
            name: "ProcessesNoria",
            dependencies: [.product(name: "Noria", package: "noria")],
            swiftSettings: [
                .enableUpcomingFeature("ExistentialAny"),
                .enableUpcomingFeature("MemberImportVisibility"),
                .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
                .treatAllWarnings(as: .error),
            ]
        ),
        .executableTarget(
            name: "FilesNoria",
            dependencies: [.product(name: "Noria", package: "noria")],
            swiftSettings: [
                .enableUpcomingFeature("ExistentialAny"),
                .enableUpcomingFeature("MemberImportVisibility"),
                .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
                .treatAllWarnings(as: .error),
            ]
        ),
        .executableTarget(
            name: "ShapesNoria",
            dependencies: [.product(name: "Noria", package: "noria")],
            swiftSettings: [
                .enableUpcomingFeature("ExistentialAny"),
                .enableUpcomingFeature("MemberImportVisibility"),
                .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
                .treatAllWarnings(as: .error),
            ]
        ),
    ]
)
