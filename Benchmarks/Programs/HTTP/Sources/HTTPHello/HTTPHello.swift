// SPDX-License-Identifier: Apache-2.0
import Glibc
import Hummingbird
import HummingbirdTLS
import NIOCore
import NIOEmbedded
import NIOHTTP1
import NIOPosix
import NIOSSL
import Noria
import NoriaHummingbird
import NoriaNIO

/// An HTTP/1 server that answers "hello" on one loop; `Benchmarks/http` starts it in each form.
@main
enum HTTPHello {
    static func main() throws {
        let words = CommandLine.arguments.dropFirst()
        let files = Array(words.dropFirst(2))
        guard words.count == 2 || words.count == 4 else { usage() }
        let configuration: TLSConfiguration? =
            files.isEmpty
            ? nil
            : .makeServerConfiguration(
                certificateChain: try NIOSSLCertificate.fromPEMFile(files[0])
                    .map { .certificate($0) },
                privateKey: .privateKey(try NIOSSLPrivateKey(file: files[1], format: .pem))
            )
        let context = try configuration.map { try NIOSSLContext(configuration: $0) }
        switch (words.first, words.dropFirst().first) {
        case ("noria", "handler"): noria { try await handler($0, context) }
        case ("noria", "async"): noria { try await tasks($0, context) }
        case ("noria", "hummingbird"): noria { _ in try await hummingbird(configuration) }
        case ("nio", "handler"): nio { try await handler($0, context) }
        case ("nio", "async"): nio { try await tasks($0, context) }
        case ("nio", "hummingbird"): nio { try await stock($0, configuration) }
        case ("embedded", let count?): try embedded(Int(count) ?? 0)
        default: usage()
        }
    }

    private static func usage() -> Never {
        print("usage: http-hello noria|nio handler|async|hummingbird [CERTIFICATE KEY]")
        print("       http-hello embedded REQUESTS")
        exit(64)
    }

    private static func say(_ channel: any Channel) {
        print("listening on 127.0.0.1:\(channel.localAddress?.port ?? 0)")
        fflush(nil)
    }

    // MARK: Noria

    private static func noria(_ body: @escaping @Sendable (Runtime) async throws -> Void) -> Never {
        Runtime.main { runtime in try await body(runtime) }
    }

    private static func handler(_ runtime: Runtime, _ tls: NIOSSLContext?) async throws {
        let channel = try await NoriaServerBootstrap(group: NoriaEventLoopGroup(runtime))
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try Hello.configure(channel, tls)
                    try channel.pipeline.syncOperations.addHandler(Hello.Handler())
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        say(channel)
        try await channel.closeFuture.get()
    }

    private static func tasks(_ runtime: Runtime, _ tls: NIOSSLContext?) async throws {
        let server = try await NoriaServerBootstrap(group: NoriaEventLoopGroup(runtime))
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .bind(host: "127.0.0.1", port: 0) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try Hello.configure(channel, tls)
                    return try Hello.Connection(wrappingChannelSynchronously: channel)
                }
            }
        try await serve(server)
    }

    private static func hummingbird(_ tls: TLSConfiguration?) async throws {
        let application = NoriaApplication(
            router: router(),
            address: .hostname("127.0.0.1", port: 0),
            transport: tls.map { .tls($0) } ?? .http1,
            onServerRunning: { say($0) }
        )
        try await application.run()
    }

    // MARK: SwiftNIO

    /// One loop; ends with status 0 at SIGTERM.
    private static func nio(
        _ body: @escaping @Sendable (MultiThreadedEventLoopGroup) async throws -> Void
    ) -> Never {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        signal(SIGTERM) { _ in _exit(0) }
        Task.detached {
            do { try await body(group) } catch {
                print("\(error)")
                exit(1)
            }
        }
        while true { pause() }
    }

    private static func handler(
        _ group: MultiThreadedEventLoopGroup,
        _ tls: NIOSSLContext?
    ) async throws {
        let channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.backlog, value: 1024)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try Hello.configure(channel, tls)
                    try channel.pipeline.syncOperations.addHandler(Hello.Handler())
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        say(channel)
        try await channel.closeFuture.get()
    }

    private static func tasks(
        _ group: MultiThreadedEventLoopGroup,
        _ tls: NIOSSLContext?
    ) async throws {
        let server = try await ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.backlog, value: 1024)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .bind(host: "127.0.0.1", port: 0) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try Hello.configure(channel, tls)
                    return try Hello.Connection(wrappingChannelSynchronously: channel)
                }
            }
        try await serve(server)
    }

    private static func stock(
        _ group: MultiThreadedEventLoopGroup,
        _ tls: TLSConfiguration?
    ) async throws {
        let application = Application(
            router: router(),
            server: try tls.map { try .tls(tlsConfiguration: $0) } ?? .http1(),
            configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { say($0) },
            eventLoopGroupProvider: .shared(group)
        )
        try await application.run()
    }

    // MARK: Both

    private static func serve(_ server: NIOAsyncChannel<Hello.Connection, Never>) async throws {
        say(server.channel)
        try await withThrowingDiscardingTaskGroup { tasks in
            try await server.executeThenClose { connections in
                for try await connection in connections {
                    tasks.addTask { await Hello.serve(connection) }
                }
            }
        }
    }

    private static func router() -> Router<BasicRequestContext> {
        let router = Router()
        router.get("/") { _, _ in "hello" }
        return router
    }

    /// The pipeline alone, without a transport: what callgrind's counts of the others are held against.
    private static func embedded(_ count: Int) throws {
        let channel = EmbeddedChannel()
        try Hello.configure(channel, nil)
        try channel.pipeline.syncOperations.addHandler(Hello.Handler())
        let request = ByteBuffer(
            string:
                "GET / HTTP/1.1\r\nHost: 127.0.0.1:12345\r\nUser-Agent: h2load nghttp2/1.52.0\r\n\r\n"
        )
        var bytes = 0
        for _ in 0..<count {
            try channel.writeInbound(request)
            while let part = try channel.readOutbound(as: ByteBuffer.self) {
                bytes += part.readableBytes
            }
        }
        print("\(count) requests, \(bytes) bytes")
    }
}
