// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

// Programs to begin from, each in one file, and `noria-demo`. A package of its own, so that nobody
// who uses Noria builds them; `swift test --package-path Examples` starts each and drives it.
let noria: Target.Dependency = .product(name: "Noria", package: "noria")

let package = Package(
    name: "noria-examples",
    products: [.executable(name: "noria-demo", targets: ["NoriaDemo"])],
    dependencies: [
        .package(name: "noria", path: "..", traits: ["Hummingbird"]),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(
            url: "https://github.com/swiftlang/swift-subprocess",
            from: "1.0.2",
            traits: []
        ),
    ],
    targets: [
        .executableTarget(name: "ProductionService", dependencies: [noria]),
        .executableTarget(name: "EchoServer", dependencies: [noria]),
        .executableTarget(name: "ChatRoom", dependencies: [noria]),
        .executableTarget(name: "LineProtocol", dependencies: [noria]),
        .executableTarget(name: "Proxy", dependencies: [noria]),
        .executableTarget(name: "BlockingCalls", dependencies: [noria, "CSQLite"]),
        .executableTarget(name: "BlockedLoop", dependencies: [noria]),
        .executableTarget(name: "HashFiles", dependencies: [noria]),
        .executableTarget(name: "PrimeFarm", dependencies: [noria]),
        .executableTarget(
            name: "ChildProcesses",
            dependencies: [noria, .product(name: "Subprocess", package: "swift-subprocess")]
        ),
        .executableTarget(
            name: "NoriaDemo",
            dependencies: [
                noria,
                .product(name: "NoriaHummingbird", package: "noria"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: [.treatAllWarnings(as: .error)]
        ),
        .executableTarget(
            name: "Fetch",
            dependencies: [
                noria,
                .product(name: "NoriaNIO", package: "noria"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ]
        ),
        .systemLibrary(name: "CSQLite", providers: [.apt(["libsqlite3-dev"])]),
        // A link: the clients and child processes of Noria's own tests.
        .target(
            name: "TestSupport",
            path: "Tests/TestSupport",
            swiftSettings: [.enableUpcomingFeature("InternalImportsByDefault")]
        ),
        .testTarget(
            name: "ExampleTests",
            dependencies: [
                "TestSupport", "ProductionService", "EchoServer", "ChatRoom", "LineProtocol",
                "Proxy", "BlockingCalls", "HashFiles", "PrimeFarm", "BlockedLoop", "ChildProcesses",
                "NoriaDemo", "Fetch",
            ]
        ),
    ]
)
