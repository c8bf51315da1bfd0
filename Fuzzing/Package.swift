// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

// Programs that libFuzzer drives: they link only with `--sanitize fuzzer`, which brings their
// `main`. A package of its own, so that `swift build` and those who use Noria never meet them;
// Scripts/fuzz builds and runs it.
let house: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

let noria: Target.Dependency = .product(name: "Noria", package: "noria")

let package = Package(
    name: "noria-fuzzing",
    products: [
        .executable(name: "FuzzByteCursor", targets: ["FuzzByteCursor"]),
        .executable(name: "FuzzProxyHeader", targets: ["FuzzProxyHeader"]),
        .executable(name: "FuzzSocketAddress", targets: ["FuzzSocketAddress"]),
        .executable(name: "FuzzWorkerFrames", targets: ["FuzzWorkerFrames"]),
    ],
    dependencies: [.package(name: "noria", path: "..")],
    targets: [
        .target(name: "CNetworkNames"),
        .target(name: "Property", swiftSettings: house),
        .executableTarget(
            name: "FuzzByteCursor",
            dependencies: [noria, "Property"],
            swiftSettings: house
        ),
        .executableTarget(
            name: "FuzzProxyHeader",
            dependencies: ["Property"],
            swiftSettings: house
        ),
        .executableTarget(
            name: "FuzzSocketAddress",
            dependencies: [noria, "CNetworkNames", "Property"],
            swiftSettings: house
        ),
        .executableTarget(
            name: "FuzzWorkerFrames",
            dependencies: ["Property"],
            swiftSettings: house
        ),
    ]
)
