// SPDX-License-Identifier: Apache-2.0
#if NIO
import NIOCore
import Noria
import NoriaNIO
import TestSupport
import Testing

extension ChannelTests {
    @Suite("Bootstraps keep SwiftNIO's promises", .serialized)
    struct BootstrapBehaviours {
        @Test(
            "Options come first, then initializers, each on its channel's loop",
            arguments: backends
        )
        func order(backend: BackendKind) async throws {
            let seen = Locked<[String]>([])
            @Sendable func note(_ who: String, _ channel: any Channel) -> EventLoopFuture<Void> {
                #expect(channel.eventLoop.inEventLoop)
                #expect(!channel.isActive)
                return channel.getOption(.autoRead).map { isOn in
                    seen.withLock { $0.append("\(who) \(isOn)") }
                }
            }
            try await ChannelTests.run(backend, loops: 2) { group in
                let accepted = group.next().makePromise(of: Void.self)
                let listener = try await NoriaServerBootstrap(group: group)
                    .serverChannelOption(.maxMessagesPerRead, value: 1)
                    .serverChannelInitializer { note("server", $0) }
                    .childChannelOption(.autoRead, value: false)
                    .childChannelInitializer { channel in
                        note("child", channel).map { accepted.succeed() }
                    }
                    .bind(host: "127.0.0.1", port: 0).get()
                let channel = try await NoriaClientBootstrap(group: group)
                    .channelOption(.autoRead, value: false)
                    .channelInitializer { note("client", $0) }
                    .connect(to: try #require(listener.localAddress)).get()
                try await accepted.futureResult.get()
                #expect(
                    seen.withLock { $0.sorted() } == ["child false", "client false", "server true"]
                )
                try await channel.close().get()
                try await listener.close().get()
            }
        }

        @Test("Initializers may answer with another loop's future", arguments: backends)
        func otherLoops(backend: BackendKind) async throws {
            try await ChannelTests.run(backend, loops: 2) { group in
                let loops = Array(group.makeIterator())
                @Sendable func elsewhere(_ channel: any Channel) -> EventLoopFuture<Void> {
                    let other = loops.first { $0 !== channel.eventLoop } ?? channel.eventLoop
                    return other.scheduleTask(in: .milliseconds(1)) {}.futureResult
                }
                let listener = try await NoriaServerBootstrap(group: group)
                    .serverChannelInitializer(elsewhere)
                    .childChannelInitializer { channel in
                        elsewhere(channel).flatMap {
                            channel.eventLoop.flatSubmit { ChannelTests.add(Lines(), channel) }
                        }
                    }
                    .bind(host: "127.0.0.1", port: 0).get()
                let received = Locked<[UInt8]>([])
                for _ in 0..<2 {
                    let channel = try await NoriaClientBootstrap(group: group)
                        .channelInitializer { channel in
                            elsewhere(channel).flatMap {
                                channel.pipeline.addHandler(Collects(received))
                            }
                        }
                        .connect(to: try #require(listener.localAddress)).get()
                    try await channel.writeAndFlush(ByteBuffer(bytes: [10])).get()
                    try await ChannelTests.wait("an echo", channel.eventLoop) {
                        !received.withLock { $0.isEmpty }
                    }
                    received.withLock { $0 = [] }
                    try await channel.close().get()
                }
                try await listener.close().get()
            }
        }

        @Test(
            "Protocol handlers stand in front; what fails before the connect fails it",
            arguments: backends
        )
        func universal(backend: BackendKind) async throws {
            let order = Locked<[String]>([])
            try await ChannelTests.run(backend) { group in
                let listener = try BlockingListener()
                let bootstrap = NIOClientTCPBootstrap(
                    NoriaClientBootstrap(group: group),
                    tls: Prefix(order: order)
                )
                let channel = try await bootstrap.enableTLS()
                    .connectTimeout(.seconds(5))
                    .channelConvenienceOptions([.allowRemoteHalfClosure, .disableAutoRead])
                    .channelInitializer { $0.pipeline.addHandler(Named("second", order)) }
                    .connect(host: "127.0.0.1", port: listener.port).get()
                #expect(order.withLock { $0 } == ["first", "second"])
                #expect(try await channel.getOption(.allowRemoteHalfClosure).get())
                #expect(try await channel.getOption(.autoRead).get() == false)
                try await channel.close().get()
                let count = ChannelTests.openConnections()
                await #expect(throws: CancellationError.self) {
                    try await NoriaClientBootstrap(group: group)
                        .channelInitializer { $0.eventLoop.makeFailedFuture(CancellationError()) }
                        .connect(host: "127.0.0.1", port: listener.port).get()
                }
                await #expect(throws: ChannelError.operationUnsupported) {
                    try await NoriaClientBootstrap(group: group)
                        .channelOption(.datagramVectorReadMessageCount, value: 1)
                        .connect(host: "127.0.0.1", port: listener.port).get()
                }
                await #expect(throws: CancellationError.self) {
                    try await NoriaServerBootstrap(group: group)
                        .serverChannelInitializer {
                            $0.eventLoop.makeFailedFuture(CancellationError())
                        }
                        .bind(host: "127.0.0.1", port: 0).get()
                }
                try await ChannelTests.wait("nothing to be open", group.next()) {
                    ChannelTests.openConnections() <= count
                }
            }
        }

        @Test("A connect that is closed, repeated or too late is told by name", arguments: backends)
        func connects(backend: BackendKind) async throws {
            let seen = Locked<[String]>([])
            try await ChannelTests.run(backend) { group in
                // A listener whose queue is full answers nobody.
                let listener = try await NoriaServerBootstrap(group: group)
                    .serverChannelOption(.autoRead, value: false)
                    .serverChannelOption(.backlog, value: 0)
                    .bind(host: "127.0.0.1", port: 0).get()
                let address = try #require(listener.localAddress)
                let port = try #require(address.port)
                let filling = try await ChannelTests.blocking { try BlockingClient(port: port) }
                let timeout = TimeAmount.milliseconds(30)
                await #expect(throws: ChannelError.connectTimeout(timeout)) {
                    try await NoriaClientBootstrap(group: group).connectTimeout(timeout)
                        .connect(to: address).get()
                }
                let made = group.next().makePromise(of: (any Channel).self)
                let pending = NoriaClientBootstrap(group: group)
                    .channelInitializer { channel in
                        made.succeed(channel)
                        return channel.eventLoop.makeSucceededVoidFuture()
                    }
                    .connect(to: address)
                let channel = try await made.futureResult.get()
                try await channel.eventLoop.submit {}.get()
                await #expect(throws: ChannelError.connectPending) {
                    try await channel.connect(to: address).get()
                }
                pending.whenComplete { _ in seen.withLock { $0.append("connect") } }
                channel.closeFuture.whenComplete { _ in seen.withLock { $0.append("closed") } }
                try await channel.close().get()
                await #expect(throws: ChannelError.ioOnClosedChannel) { try await pending.get() }
                try await channel.closeFuture.get()
                #expect(seen.withLock { $0.sorted() } == ["closed", "connect"])
                filling.close()
                try await listener.close().get()
            }
        }

        @Test(
            "Asynchronous ones give what the initializer made, or throw what it threw",
            arguments: backends
        )
        func asynchronous(backend: BackendKind) async throws {
            try await ChannelTests.run(backend) { group in
                let server = try await NoriaServerBootstrap(group: group)
                    .bind(host: "127.0.0.1", port: 0) { channel in
                        channel.eventLoop.makeSucceededVoidFuture()
                    }
                let address = try #require(server.channel.localAddress)
                try await server.executeThenClose { _ in
                    let name = try await NoriaClientBootstrap(group: group)
                        .connect(to: address) { channel in
                            channel.eventLoop.makeSucceededFuture("\(channel.isActive)")
                        }
                    #expect(name == "false")
                    await #expect(throws: CancellationError.self) {
                        try await NoriaClientBootstrap(group: group).connect(to: address) {
                            channel in
                            channel.eventLoop.makeFailedFuture(CancellationError())
                                as EventLoopFuture<Void>
                        }
                    }
                }
                await #expect(throws: IOError.self) {
                    try await NoriaClientBootstrap(group: group).connect(to: address) { channel in
                        channel.eventLoop.makeSucceededVoidFuture()
                    }
                }
            }
        }
    }
}

/// Puts a handler where TLS would stand.
private struct Prefix: NIOClientTLSProvider {
    let order: Locked<[String]>

    func enableTLS(_ bootstrap: NoriaClientBootstrap) -> NoriaClientBootstrap {
        let order = order
        return bootstrap.protocolHandlers { [Named("first", order)] }
    }
}

/// Writes down in what order handlers hear of the connection.
private final class Named: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    private let name: String
    private let order: Locked<[String]>

    init(_ name: String, _ order: Locked<[String]>) { (self.name, self.order) = (name, order) }

    func channelActive(context: ChannelHandlerContext) {
        order.withLock { $0.append(name) }
        context.fireChannelActive()
    }
}
#endif
