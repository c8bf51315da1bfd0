// SPDX-License-Identifier: Apache-2.0
#if NIO
import Glibc
import NIOCore
import Noria
import NoriaNIO
import NoriaSystem
import TestSupport
import Testing

/// Clients and servers of ours, each other's peers, and those of a blocking one.
///
/// In the other suite, since a process has one runtime at a time.
extension ChannelTests {
    @Suite("SwiftNIO's client channels on Noria's loops", .serialized)
    struct ClientTests {
        private func run(
            _ backend: BackendKind,
            loops: Int = 1,
            _ body: @escaping @Sendable (NoriaEventLoopGroup) async throws -> Void
        ) async throws {
            let configuration = RuntimeConfiguration.production.with {
                $0.backend = .require(backend)
                $0.loops.count = loops
            }
            try await withRuntime(configuration) { try await body(NoriaEventLoopGroup($0)) }
        }

        private func echo(_ channel: any Channel) -> EventLoopFuture<Void> {
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(BackPressureEcho(Locked([])))
            }
        }

        private static func wrap(
            _ channel: any Channel
        ) -> EventLoopFuture<NIOAsyncChannel<ByteBuffer, ByteBuffer>> {
            channel.eventLoop.makeCompletedFuture {
                try NIOAsyncChannel(wrappingChannelSynchronously: channel)
            }
        }

        private func ask(
            _ channel: NIOAsyncChannel<ByteBuffer, ByteBuffer>,
            byteCount: Int
        ) async throws {
            try await channel.executeThenClose { inbound, outbound in
                let sent = [UInt8].pattern(byteCount)
                async let sending: Void = outbound.write(ByteBuffer(bytes: sent))
                var received: [UInt8] = []
                for try await piece in inbound {
                    received += Array(piece.readableBytesView)
                    if received.count >= byteCount { break }
                }
                try await sending
                #expect(received == sent)
            }
        }

        @Test("a client sends and receives 4 MiB by TCP", arguments: backends, [1, 2])
        func tcp(backend: BackendKind, loops: Int) async throws {
            try await run(backend, loops: loops) { group in
                let server = try await NoriaServerBootstrap(group: group)
                    .childChannelInitializer(echo).bind(host: "127.0.0.1", port: 0).get()
                let port = try #require(server.localAddress?.port)
                for host in ["127.0.0.1", "localhost"] {
                    let client = try await NoriaClientBootstrap(group: group)
                        .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                        .connect(host: host, port: port, channelInitializer: Self.wrap)
                    #expect(client.channel.remoteAddress?.port == port)
                    #expect(client.channel.localAddress?.port != nil)
                    try await ask(client, byteCount: 4 << 20)
                }
                try await server.close().get()
            }
        }

        @Test(
            "and by a Unix socket, whose path is taken anew only when that is asked for",
            arguments: backends
        )
        func unix(backend: BackendKind) async throws {
            let folder = try TemporaryFolder()
            let path = "\(folder.path)/socket"
            try await run(backend) { group in
                for round in 0..<2 {
                    let bootstrap = NoriaServerBootstrap(group: group).childChannelInitializer(echo)
                    if round > 0 {
                        await #expect(throws: (any Error).self) {
                            try await bootstrap.bind(unixDomainSocketPath: path).get()
                        }
                    }
                    let server = try await bootstrap.bind(
                        unixDomainSocketPath: path,
                        cleanupExistingSocketFile: round > 0
                    ).get()
                    #expect(server.localAddress?.pathname == path)
                    let client = try await NoriaClientBootstrap(group: group)
                        .connect(unixDomainSocketPath: path, channelInitializer: Self.wrap)
                    #expect(client.channel.remoteAddress?.pathname == path)
                    try await ask(client, byteCount: 1 << 20)
                    try await server.close().get()
                }
            }
        }

        @Test("events of a client come in their order", arguments: backends)
        func order(backend: BackendKind) async throws {
            let record = Locked<[String]>([])
            let listener = try BlockingListener()
            try await run(backend) { group in
                let channel = try await NoriaClientBootstrap(group: group)
                    .channelInitializer { channel in
                        channel.eventLoop.makeCompletedFuture {
                            try channel.pipeline.syncOperations.addHandler(Recorder(record))
                        }
                    }
                    .connect(host: "127.0.0.1", port: listener.port).get()
                #expect(channel.isActive)
                try await channel.close().get()
                try await channel.closeFuture.get()
            }
            #expect(
                record.withLock { $0 } == [
                    "added", "registered", "active", "inactive", "unregistered", "removed",
                    "closed",
                ]
            )
        }

        @Test(
            "a refused connect, one that takes too long and a name of nobody fail, and leave nothing open",
            arguments: backends
        )
        func failures(backend: BackendKind) async throws {
            // It is closed again at once.
            let port = try BlockingListener().port
            try await run(backend) { group in
                let before = LeakCheck.entries(of: "/proc/self/fd").count
                let bootstrap = NoriaClientBootstrap(group: group)
                let error = await #expect(throws: IOError.self) {
                    try await bootstrap.connect(host: "127.0.0.1", port: port).get()
                }
                #expect(error?.errnoCode == 111)
                await #expect(throws: (any Error).self) {
                    try await bootstrap.connect(unixDomainSocketPath: "/nobody/listens").get()
                }
                await #expect(throws: NetworkError.self) {
                    try await bootstrap.connect(host: "no such host", port: port).get()
                }
                // TEST-NET-1: nobody answers there, or the machine knows no way to it.
                await #expect(throws: (any Error).self) {
                    try await bootstrap.connectTimeout(.milliseconds(20))
                        .connect(host: "192.0.2.1", port: 9).get()
                }
                let loop = group.next()
                while LeakCheck.entries(of: "/proc/self/fd").count > before {
                    try await loop.submit {}.get()
                }
            }
        }

        @Test(
            "a file region is refused by its promise, and the connection goes on",
            arguments: backends
        )
        func foreignWrite(backend: BackendKind) async throws {
            try await run(backend) { group in
                let server = try await NoriaServerBootstrap(group: group)
                    .childChannelInitializer(echo).bind(host: "127.0.0.1", port: 0).get()
                let port = try #require(server.localAddress?.port)
                let client = try await NoriaClientBootstrap(group: group)
                    .connect(host: "127.0.0.1", port: port, channelInitializer: Self.wrap)
                await #expect(throws: ChannelError.self) {
                    try await client.channel.writeAndFlush("no bytes")
                }
                try await ask(client, byteCount: 100)
                try await server.close().get()
            }
        }

        @Test("what was flushed before a close comes whole to a slow reader", arguments: backends)
        func flushedThenClosed(backend: BackendKind) async throws {
            let listener = try BlockingListener()
            try await run(backend) { group in
                let client = try await NoriaClientBootstrap(group: group)
                    .connect(host: "127.0.0.1", port: listener.port).get()
                let sent = [UInt8].pattern(6 << 20)
                client.writeAndFlush(ByteBuffer(bytes: sent), promise: nil)
                try await client.close().get()
                guard let runtime = Runtime.current else { return }
                let received = try await runtime.blocking.run {
                    try listener.accept().receiveAll()
                }
                #expect(received == sent)
            }
        }

        @Test("who is told of a write may write, flush and close from within", arguments: backends)
        func reentrancy(backend: BackendKind) async throws {
            let text = try await exchange(backend, Chains.init) { client in
                try client.send([1])
                return String(decoding: try client.receiveAll(), as: UTF8.self)
            }
            #expect(text == (0...20).map { "\($0) \($0) " }.joined())
        }

        @Test(
            "a peer that never stops sending does not hold a connection that is closed",
            arguments: backends
        )
        func dripping(backend: BackendKind) async throws {
            let isOver = try await exchange(backend, LastWord.init) { client in
                try client.send([1])
                #expect(try client.receiveAll() == Array("bye".utf8))
                // Ten times as long as the descriptor lingers, at most.
                for _ in 0..<100 {
                    do { try client.send([2]) } catch { return true }
                    usleep(50_000)
                }
                return false
            }
            #expect(isOver)
        }

        /// A server with such a handler, and what a blocking client makes of it.
        private func exchange<Value: Sendable>(
            _ backend: BackendKind,
            _ handler: @escaping @Sendable () -> some ChannelHandler,
            _ body: @escaping @Sendable (BlockingClient) throws -> Value
        ) async throws -> Value {
            let result = Locked<Value?>(nil)
            try await run(backend) { group in
                let server = try await NoriaServerBootstrap(group: group)
                    .childChannelInitializer { channel in
                        channel.eventLoop.makeCompletedFuture {
                            try channel.pipeline.syncOperations.addHandler(handler())
                        }
                    }
                    .bind(host: "127.0.0.1", port: 0).get()
                let port = try #require(server.localAddress?.port)
                guard let runtime = Runtime.current else { return }
                let value = try await runtime.blocking.run {
                    let client = try BlockingClient(port: port)
                    defer { client.close() }
                    return try body(client)
                }
                result.withLock { $0 = value }
                try await server.close().get()
            }
            return try #require(result.withLock { $0 })
        }

        @Test(
            "a shutdown serves those who wait in the listener's queue, and resets nobody",
            arguments: backends,
            [false, true]
        )
        func queued(backend: BackendKind, isUnix: Bool) async throws {
            let folder = try TemporaryFolder()
            let path = "\(folder.path)/socket"
            try await run(backend) { group in
                let bootstrap = NoriaServerBootstrap(group: group)
                    .serverChannelOption(.autoRead, value: false)
                    .childChannelInitializer { channel in
                        channel.eventLoop.makeCompletedFuture {
                            try channel.pipeline.syncOperations.addHandler(Quiesces())
                        }
                    }
                let server =
                    isUnix
                    ? try await bootstrap.bind(unixDomainSocketPath: path).get()
                    : try await bootstrap.bind(host: "127.0.0.1", port: 0).get()
                let port = server.localAddress?.port ?? 0
                guard let runtime = Runtime.current else { return }
                let texts = try await runtime.blocking.run {
                    // Nobody accepts: the kernel connects them all the same.
                    let clients = try (0..<20).map { _ in
                        isUnix ? try BlockingClient(unix: path) : try BlockingClient(port: port)
                    }
                    for client in clients { try client.send([1]) }
                    runtime.shutdown.request(reason: "enough")
                    return try clients.map { client in
                        defer { client.close() }
                        return try client.receiveAll()
                    }
                }
                #expect(texts.allSatisfy { $0.suffix(3) == Array("bye".utf8) }, "\(texts)")
                #expect(texts.count == 20)
            }
        }
    }
}
#endif
