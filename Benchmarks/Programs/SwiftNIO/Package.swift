// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

// SwiftNIO's echo servers. A package of its own, so that nobody else builds SwiftNIO; the version
// is exact, because a figure in RESULTS.md is one of that version.
let nio: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let posix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let house: [SwiftSetting] = [.treatAllWarnings(as: .error)]

let package = Package(
    name: "swift-nio-echo",
    products: [
        .executable(name: "nio-handler-echo", targets: ["NIOHandlerEcho"]),
        .executable(name: "nio-async-echo", targets: ["NIOAsyncEcho"]),
        .executable(name: "nio-thread-pool-rates", targets: ["NIOThreadPoolRates"]),
    ],
    dependencies: [.package(url: "https://github.com/apple/swift-nio", exact: "2.101.2")],
    targets: [
        .target(name: "Listening", dependencies: [nio, posix], swiftSettings: house),
        .executableTarget(
            name: "NIOHandlerEcho",
            dependencies: ["Listening", nio, posix],
            swiftSettings: house
        ),
        .executableTarget(
            name: "NIOAsyncEcho",
            dependencies: ["Listening", nio, posix],
            swiftSettings: house
        ),
        .executableTarget(
            name: "NIOThreadPoolRates",
            dependencies: [posix],
            swiftSettings: house
        ),
    ]
)
