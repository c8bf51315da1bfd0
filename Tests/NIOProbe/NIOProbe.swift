// SPDX-License-Identifier: Apache-2.0
import Glibc

#if NIO
import Dispatch
import NIOCore
import NIOHTTP1
import NIOHTTP2
import NIOPosix
import NIOSSL
import NIOWebSocket
import Noria
import NoriaNIO

/// An HTTP server of SwiftNIO's, unchanged, on Noria's loops: for real clients.
@main
enum NIOProbe {
    private static let arguments = Array(CommandLine.arguments.dropFirst())

    static func main() {
        switch (arguments.first, arguments.count) {
        case ("http", 1): run { plain($0) }
        case ("https", 3): run(tls: true) { plain($0) }
        case ("websocket", 1): run { webSocket($0) }
        case ("posix", 1): runOnTheirs()
        case ("posix", 2): runOnTheirs(signalled: true)
        default:
            print("usage: NoriaNIOProbe http|websocket|https CERTIFICATE KEY|posix [signal]")
            exit(64)
        }
    }

    private static func run(
        tls: Bool = false,
        _ configure: @escaping @Sendable (any Channel) -> EventLoopFuture<Void>
    ) {
        Runtime.main { runtime in
            let certificate = tls ? try Certificate(arguments[1], arguments[2]) : nil
            if let certificate {
                runtime.spawn(name: "reload") {
                    for await _ in runtime.signals(.hangup) {
                        try certificate.reload()
                        print("reloaded")
                        fflush(nil)
                    }
                }
            }
            let channel = try await NoriaServerBootstrap(group: NoriaEventLoopGroup(runtime))
                .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
                .childChannelInitializer { channel in
                    guard let certificate else { return configure(channel) }
                    return secure(channel, certificate)
                }
                .bind(host: "127.0.0.1", port: 0).get()
            print("listening on 127.0.0.1:\(channel.localAddress?.port ?? 0)")
            fflush(nil)
            try await channel.closeFuture.get()
            let streams = runtime.eventLoops.map { $0.snapshot().streams }
            let errors = streams.reduce(0) { $0 + $1.unhandledErrors }
            print("\(errors) unhandled errors, \(streams.reduce(0) { $0 + $1.reset }) resets")
            fflush(nil)
        }
    }

    /// The same on SwiftNIO's own loops, without Noria; `signalled` ends it at SIGTERM.
    private static func runOnTheirs(signalled: Bool = false) {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let source = DispatchSource.makeSignalSource(signal: SIGTERM)
        source.setEventHandler { exit(0) }
        if signalled {
            signal(SIGTERM, SIG_IGN)
            source.activate()
        }
        do {
            let channel = try ServerBootstrap(group: group)
                .childChannelInitializer { plain($0) }
                .bind(host: "127.0.0.1", port: 0).wait()
            print("listening on 127.0.0.1:\(channel.localAddress?.port ?? 0)")
            fflush(nil)
            try channel.closeFuture.wait()
        } catch {
            print("error: \(error)")
            exit(1)
        }
    }

    private static func plain(_ channel: any Channel) -> EventLoopFuture<Void> {
        channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.configureHTTPServerPipeline()
            try channel.pipeline.syncOperations.addHandler(Answers())
        }
    }

    /// HTTP/1 or HTTP/2, as the handshake agrees.
    private static func secure(
        _ channel: any Channel,
        _ certificate: Certificate
    ) -> EventLoopFuture<Void> {
        channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(
                NIOSSLServerHandler(context: certificate.context)
            )
        }.flatMap {
            channel.configureCommonHTTPServerPipeline { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Answers())
                }
            }
        }
    }

    private static func webSocket(_ channel: any Channel) -> EventLoopFuture<Void> {
        let upgrader = NIOWebSocketServerUpgrader(
            maxFrameSize: 1 << 20,
            shouldUpgrade: { channel, _ in channel.eventLoop.makeSucceededFuture([:]) },
            upgradePipelineHandler: { channel, _ in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(WebSocketEcho())
                }
            }
        )
        return channel.pipeline.configureHTTPServerPipeline(
            withServerUpgrade: (upgraders: [upgrader], completionHandler: { _ in })
        )
    }
}

/// What a server shows, and may be read again: connections keep what they began with.
private final class Certificate: Sendable {
    private let certificate: String
    private let key: String
    private let present: LockedValue<NIOSSLContext>

    init(_ certificate: String, _ key: String) throws {
        (self.certificate, self.key) = (certificate, key)
        present = LockedValue(try Self.read(certificate, key))
    }

    var context: NIOSSLContext { present.value }

    func reload() throws { present.value = try Self.read(certificate, key) }

    private static func read(_ certificate: String, _ key: String) throws -> NIOSSLContext {
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: try NIOSSLCertificate.fromPEMFile(certificate)
                .map { .certificate($0) },
            privateKey: .privateKey(try NIOSSLPrivateKey(file: key, format: .pem))
        )
        configuration.applicationProtocols = NIOHTTP2SupportedALPNProtocols
        return try NIOSSLContext(configuration: configuration)
    }
}
#else
@main
enum NIOProbe {
    static func main() {
        print("built without the trait NIO")
        exit(64)
    }
}
#endif
