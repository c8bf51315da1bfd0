// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

// HTTP servers that answer "hello", on Noria's loops and on SwiftNIO's. A package of its own, so
// that nobody else builds them; versions are exact, because a figure in RESULTS.md is one of them.
func nio(_ name: String) -> Target.Dependency { .product(name: name, package: "swift-nio") }
func noria(_ name: String) -> Target.Dependency { .product(name: name, package: "noria") }

let package = Package(
    name: "http-hello",
    products: [.executable(name: "http-hello", targets: ["HTTPHello"])],
    dependencies: [
        .package(name: "noria", path: "../../..", traits: ["Hummingbird"]),
        .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", exact: "2.37.6"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", exact: "2.28.1"),
    ],
    targets: [
        .executableTarget(
            name: "HTTPHello",
            dependencies: [
                noria("Noria"), noria("NoriaNIO"), noria("NoriaHummingbird"), nio("NIOCore"),
                nio("NIOPosix"), nio("NIOHTTP1"), nio("NIOEmbedded"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdTLS", package: "hummingbird"),
            ],
            swiftSettings: [.treatAllWarnings(as: .error)]
        )
    ]
)
