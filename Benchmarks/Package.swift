// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

// The measuring ground: the echo servers in C that Noria is held against, and the load that
// drives them all. A package of its own, so that nobody who uses Noria builds it.
let package = Package(
    name: "noria-benchmarks",
    products: [
        .executable(name: "reference-epoll", targets: ["EchoReferenceEpoll"]),
        .executable(name: "reference-io_uring", targets: ["EchoReferenceIOUring"]),
        .executable(name: "echo-load", targets: ["EchoLoad"]),
    ],
    targets: [
        .target(name: "EchoListener"),
        .executableTarget(name: "EchoReferenceEpoll", dependencies: ["EchoListener"]),
        .executableTarget(name: "EchoReferenceIOUring", dependencies: ["EchoListener"]),
        .executableTarget(name: "EchoLoad"),
    ]
)
