// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

/// The house's language mode: what each Swift target of ours is compiled with.
let house: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableExperimentalFeature("Lifetimes"),
    .treatAllWarnings(as: .error),
]

let system: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let lifecycle: Target.Dependency = .product(
    name: "ServiceLifecycle",
    package: "swift-service-lifecycle"
)
let metrics: Target.Dependency = .product(name: "CoreMetrics", package: "swift-metrics")
/// A product of SwiftNIO's, fetched with the trait alone.
func nio(_ name: String, _ package: String = "swift-nio") -> Target.Dependency {
    .product(name: name, package: package, condition: .when(traits: ["NIO"]))
}
func hummingbird(_ name: String, _ package: String = "hummingbird") -> Target.Dependency {
    .product(name: name, package: package, condition: .when(traits: ["Hummingbird"]))
}
/// A product of gRPC's.
func grpc(_ name: String, _ package: String) -> Target.Dependency {
    .product(name: name, package: package, condition: .when(traits: ["GRPC"]))
}
let arguments: Target.Dependency = .product(
    name: "ArgumentParser",
    package: "swift-argument-parser"
)

let package = Package(
    name: "noria",
    products: [
        .library(name: "Noria", targets: ["Noria"]),
        .executable(name: "noria", targets: ["NoriaCommand"]),
        .library(name: "NoriaNIO", targets: ["NoriaNIO"]),
        .library(name: "NoriaHummingbird", targets: ["NoriaHummingbird"]),
        .library(name: "NoriaGRPC", targets: ["NoriaGRPC"]),
    ],
    traits: [
        .trait(name: "NIO", description: "SwiftNIO's channels on Noria's loops: NoriaNIO"),
        .trait(
            name: "Hummingbird",
            description: "Hummingbird applications on Noria's loops: NoriaHummingbird",
            enabledTraits: ["NIO"]
        ),
        .trait(
            name: "GRPC",
            description: "gRPC servers on Noria's loops: NoriaGRPC",
            enabledTraits: ["NIO"]
        ),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(
            url: "https://github.com/swiftlang/swift-subprocess",
            from: "1.0.2",
            traits: []
        ),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
        .package(url: "https://github.com/grpc/grpc-swift-2", from: "2.4.3"),
        .package(url: "https://github.com/grpc/grpc-swift-nio-transport", from: "2.9.2"),
    ],
    targets: [
        .target(name: "CNoria"),
        .target(
            name: "NoriaSystem",
            dependencies: ["CNoria", system],
            swiftSettings: house
        ),
        .target(
            name: "NoriaEngine",
            dependencies: ["NoriaSystem", system],
            swiftSettings: house
        ),
        .target(
            name: "Noria",
            dependencies: [
                "NoriaEngine", "NoriaSystem", "CNoria", system, logging, metrics, lifecycle,
            ],
            swiftSettings: house
        ),
        .target(
            name: "NoriaNIO",
            dependencies: ["Noria", "NoriaEngine", "NoriaSystem", system, nio("NIOCore")],
            swiftSettings: house
        ),
        .target(
            name: "NoriaHummingbird",
            dependencies: [
                "Noria", "NoriaNIO", "NoriaSystem", logging, lifecycle, nio("NIOCore"),
                nio("NIOHTTP1"), nio("NIOPosix"), nio("NIOTLS"),
                nio("NIOHTTP2", "swift-nio-http2"), nio("NIOSSL", "swift-nio-ssl"),
                hummingbird("Hummingbird"), hummingbird("HummingbirdCore"),
                hummingbird("HummingbirdHTTP2"), hummingbird("HummingbirdTLS"),
                hummingbird("HTTPTypes", "swift-http-types"),
                hummingbird("NIOHTTPTypes", "swift-nio-extras"),
                hummingbird("NIOHTTPTypesHTTP1", "swift-nio-extras"),
            ],
            swiftSettings: house
        ),
        .target(
            name: "NoriaGRPC",
            dependencies: [
                "Noria", "NoriaNIO", "NoriaSystem", lifecycle,
                grpc("GRPCCore", "grpc-swift-2"),
                grpc("GRPCNIOTransportHTTP2Posix", "grpc-swift-nio-transport"),
                nio("NIOCore"), nio("NIOSSL", "swift-nio-ssl"),
            ],
            swiftSettings: house
        ),
        .executableTarget(
            name: "NoriaCommand",
            dependencies: [
                "Noria", "NoriaSystem", system, logging, arguments,
                .product(name: "Subprocess", package: "swift-subprocess"),
            ],
            swiftSettings: house
        ),
        .target(name: "TestSupport", path: "Tests/TestSupport", swiftSettings: house),
        .executableTarget(
            name: "NoriaProbe",
            dependencies: [
                "Noria", "NoriaEngine", "NoriaSystem", "TestSupport", metrics, lifecycle,
            ],
            path: "Tests/NoriaProbe",
            swiftSettings: house
        ),
        // Without the house's language mode: what a user's program is compiled with.
        .executableTarget(
            name: "EmbeddedProbe",
            dependencies: ["Noria", lifecycle],
            path: "Tests/EmbeddedProbe",
            swiftSettings: [.treatAllWarnings(as: .error)]
        ),
        .testTarget(
            name: "EndToEndTests",
            dependencies: ["TestSupport", "NoriaCommand", "NoriaProbe", "EmbeddedProbe"],
            swiftSettings: house
        ),
        .testTarget(
            name: "NoriaEngineTests",
            dependencies: ["NoriaEngine", "NoriaSystem", "TestSupport", system],
            swiftSettings: house
        ),
        .testTarget(
            name: "NoriaSystemTests",
            dependencies: ["NoriaSystem", "TestSupport", system],
            swiftSettings: house
        ),
        .testTarget(
            name: "NoriaTests",
            dependencies: ["Noria", "NoriaEngine", "NoriaSystem", "TestSupport", system, logging],
            swiftSettings: house
        ),
        .executableTarget(
            name: "NoriaNIOProbe",
            dependencies: [
                "Noria", "NoriaNIO", nio("NIOCore"), nio("NIOPosix"), nio("NIOHTTP1"),
                nio("NIOWebSocket"),
                nio("NIOHTTP2", "swift-nio-http2"), nio("NIOSSL", "swift-nio-ssl"),
            ],
            path: "Tests/NIOProbe",
            swiftSettings: house
        ),
        .executableTarget(
            name: "NoriaHummingbirdProbe",
            dependencies: [
                "Noria", "NoriaHummingbird", nio("NIOCore"), nio("NIOSSL", "swift-nio-ssl"),
                hummingbird("Hummingbird"), hummingbird("HummingbirdCore"),
                hummingbird("HummingbirdHTTP2"),
            ],
            path: "Tests/HummingbirdProbe",
            swiftSettings: house
        ),
        .executableTarget(
            name: "NoriaGRPCProbe",
            dependencies: [
                "Noria", "NoriaGRPC", lifecycle, grpc("GRPCCore", "grpc-swift-2"),
                grpc("GRPCNIOTransportHTTP2Posix", "grpc-swift-nio-transport"),
                nio("NIOCore"), nio("NIOSSL", "swift-nio-ssl"),
            ],
            path: "Tests/GRPCProbe",
            swiftSettings: house
        ),
        .testTarget(
            name: "NoriaNIOTests",
            dependencies: [
                "Noria", "NoriaNIO", "NoriaNIOProbe", "NoriaHummingbird",
                "NoriaHummingbirdProbe", "NoriaGRPCProbe", "TestSupport", nio("NIOCore"),
                nio("NIOHTTP1"),
            ],
            swiftSettings: house
        ),
        .testTarget(
            name: "ProgramTests",
            dependencies: ["TestSupport", "Noria"],
            swiftSettings: house
        ),
        .testTarget(
            name: "HouseTests",
            dependencies: ["TestSupport"],
            swiftSettings: house
        ),
    ]
)
