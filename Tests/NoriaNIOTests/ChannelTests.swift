// SPDX-License-Identifier: Apache-2.0
#if NIO
import Glibc
import NIOCore
import NIOHTTP1
import Noria
import NoriaNIO
import NoriaSystem
import TestSupport
import Testing

/// What SwiftNIO's documentation and the tests of its transports ask of a channel.
@Suite("SwiftNIO's channels on Noria's loops", .serialized)
struct ChannelTests {
    static let backends: [BackendKind] = [.ioUring, .epoll, .poll]
    private static let loopback = "127.0.0.1"

    /// A listening channel in a runtime of its own, and its port.
    private func withServer(
        _ backend: BackendKind,
        loops: Int = 1,
        halfClosure: Bool = false,
        _ initializer: @escaping @Sendable (any Channel) -> EventLoopFuture<Void>,
        _ body: @escaping @Sendable (Int, any Channel) async throws -> Void
    ) async throws {
        let configuration = RuntimeConfiguration.production.with {
            $0.backend = .require(backend)
            $0.loops.count = loops
        }
        try await withRuntime(configuration) { runtime in
            let group = NoriaEventLoopGroup(runtime)
            let channel = try await NoriaServerBootstrap(group: group)
                .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
                .childChannelOption(.allowRemoteHalfClosure, value: halfClosure)
                .childChannelInitializer(initializer)
                .bind(host: Self.loopback, port: 0).get()
            let port = try #require(channel.localAddress?.port)
            try await body(port, channel)
            try? await channel.close().get()
        }
    }

    private func plainly<Value: Sendable>(
        _ body: @escaping @Sendable () throws -> Value
    ) async throws -> Value {
        guard let runtime = Runtime.current else { throw CancellationError() }
        return try await runtime.blocking.run { try body() }
    }

    private func add(
        _ handler: @escaping @Sendable () -> some ChannelHandler
    ) -> @Sendable (any Channel) -> EventLoopFuture<Void> {
        { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(handler())
            }
        }
    }

    @Test("events come in their order, and the close is told last", arguments: backends)
    func order(backend: BackendKind) async throws {
        let record = Locked<[String]>([])
        try await withServer(backend, add { Recorder(record) }) { port, _ in
            let answer = try await plainly {
                let client = try BlockingClient(port: port)
                try client.send([1, 2, 3])
                let answer = try client.receive(exactly: 3)
                client.close()
                return answer
            }
            #expect(answer == [1, 2, 3])
            while record.withLock({ $0.last }) != "closed" { await Task.yield() }
        }
        let seen = record.withLock { $0 }
        // A write may be done at once, or when the kernel says so.
        #expect(seen.count { $0 == "wrote" } == 1)
        #expect(
            seen.filter { $0 != "wrote" } == [
                "added", "registered", "active", "read 3", "read complete", "inactive",
                "unregistered", "removed", "closed",
            ]
        )
    }

    @Test("8 MiB come back whole through the watermarks", arguments: backends, [1, 2])
    func large(backend: BackendKind, loops: Int) async throws {
        let changes = Locked<[Bool]>([])
        let count = 8 << 20
        try await withServer(backend, loops: loops, add { BackPressureEcho(changes) }) { port, _ in
            let received = try await plainly {
                let client = try BlockingClient(port: port)
                let received = Locked(0)
                PlainThreads.run(2) { number in
                    if number == 0 {
                        let piece = [UInt8](repeating: 7, count: 1 << 16)
                        for _ in 0..<count / piece.count { try? client.send(piece) }
                    } else {
                        while received.withLock({ $0 }) < count {
                            guard let bytes = try? client.receive(), !bytes.isEmpty,
                                bytes.allSatisfy({ $0 == 7 })
                            else { return }
                            received.withLock { $0 += bytes.count }
                        }
                    }
                }
                return received.withLock { $0 }
            }
            #expect(received == count)
        }
    }

    @Test(
        "an end of the peer's sending is told, and what was written before ours comes",
        arguments: backends
    )
    func halfClosure(backend: BackendKind) async throws {
        try await withServer(backend, halfClosure: true, add { AnswersAtEnd() }) { port, _ in
            let text = try await plainly {
                let client = try BlockingClient(port: port)
                try client.send(Array("question".utf8))
                client.endSending()
                return String(decoding: try client.receiveAll(), as: UTF8.self)
            }
            #expect(text == "8 bytes, then the end")
        }
    }

    @Test("without automatic reading nothing is read that was not asked for", arguments: backends)
    func manualReads(backend: BackendKind) async throws {
        let record = Locked<[String]>([])
        let initializer: @Sendable (any Channel) -> EventLoopFuture<Void> = { channel in
            channel.setOption(.autoRead, value: false).flatMapThrowing {
                try channel.pipeline.syncOperations.addHandler(Recorder(record))
            }
        }
        try await withServer(backend, initializer) { port, _ in
            try await plainly {
                let client = try BlockingClient(port: port)
                try client.send([1])
                #expect(!client.isReadable(within: 100))
                client.close()
            }
            while record.withLock({ $0.count }) < 3 { await Task.yield() }
            #expect(record.withLock { $0 } == ["added", "registered", "active"])
        }
    }

    @Test("HTTP/1 is served to a client that keeps its connection", arguments: backends)
    func http(backend: BackendKind) async throws {
        let initializer: @Sendable (any Channel) -> EventLoopFuture<Void> = { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                try channel.pipeline.syncOperations.addHandler(Hello())
            }
        }
        try await withServer(backend, initializer) { port, _ in
            let texts = try await plainly {
                let client = try BlockingClient(port: port)
                return try (0..<3).map { _ in
                    try client.send(Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8))
                    var text = ""
                    while !text.hasSuffix("hello") {
                        text += String(decoding: try client.receive(), as: UTF8.self)
                    }
                    return text
                }
            }
            #expect(texts.allSatisfy { $0.hasPrefix("HTTP/1.1 200 OK\r\n") })
        }
    }

    @Test("a request that is pipelined behind another is answered in order", arguments: backends)
    func pipelined(backend: BackendKind) async throws {
        try await withServer(backend, add { Lines() }) { port, _ in
            let text = try await plainly {
                let client = try BlockingClient(port: port)
                try client.send(Array((0..<1000).map { "\($0)\n" }.joined().utf8))
                client.endSending()
                return String(decoding: try client.receiveAll(), as: UTF8.self)
            }
            #expect(text == (0..<1000).map { "\($0)\n" }.joined())
        }
    }

    @Test(
        "timers fire in order, a cancelled one never; what is executed runs in order",
        arguments: backends
    )
    func timers(backend: BackendKind) async throws {
        let record = Locked<[String]>([])
        try await withServer(backend, add { Recorder(record) }) { _, channel in
            let loop = channel.eventLoop
            let order = Locked<[Int]>([])
            let late = loop.scheduleTask(in: .milliseconds(30)) { order.withLock { $0.append(30) } }
            let never = loop.scheduleTask(in: .seconds(60)) {
                order.withLock { $0.append(20) }
            }
            loop.scheduleTask(in: .milliseconds(10)) { order.withLock { $0.append(10) } }
            for number in 0..<3 { loop.execute { order.withLock { $0.append(number) } } }
            never.cancel()
            try await late.futureResult.get()
            let seen = order.withLock { $0 }
            #expect(seen.filter { $0 < 10 } == [0, 1, 2])
            #expect(seen.filter { $0 >= 10 } == [10, 30])
            await #expect(throws: EventLoopError.self) { try await never.futureResult.get() }
            #expect(try await loop.submit { loop.inEventLoop }.get())
        }
    }

    @Test(
        "the stream of an async server gives each connection, on its own loop",
        arguments: backends,
        [1, 2]
    )
    func asynchronous(backend: BackendKind, loops: Int) async throws {
        let configuration = RuntimeConfiguration.production.with {
            $0.backend = .require(backend)
            $0.loops.count = loops
        }
        try await withRuntime(configuration) { runtime in
            let server = try await NoriaServerBootstrap(group: NoriaEventLoopGroup(runtime))
                .bind(host: Self.loopback, port: 0) { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
                            wrappingChannelSynchronously: channel
                        )
                    }
                }
            let port = try #require(server.channel.localAddress?.port)
            try await server.executeThenClose { connections in
                async let answers = plainly {
                    try (0..<4).map { number in
                        let client = try BlockingClient(port: port)
                        try client.send([UInt8(number)])
                        defer { client.close() }
                        return try client.receive(exactly: 1)
                    }
                }
                var served = 0
                for try await connection in connections {
                    try await connection.executeThenClose { inbound, outbound in
                        for try await bytes in inbound { try await outbound.write(bytes) }
                    }
                    served += 1
                    if served == 4 { break }
                }
                #expect(try await answers == (0..<4).map { [UInt8($0)] })
            }
        }
    }

    @Test(
        "a shutdown closes the listener and tells the connections, which end",
        arguments: backends
    )
    func drained(backend: BackendKind) async throws {
        let configuration = RuntimeConfiguration.production.with { $0.backend = .require(backend) }
        let ended = Locked(false)
        try await withRuntime(configuration) { runtime in
            let channel = try await NoriaServerBootstrap(group: NoriaEventLoopGroup(runtime))
                .childChannelInitializer(add { Quiesces() })
                .bind(host: Self.loopback, port: 0).get()
            let port = try #require(channel.localAddress?.port)
            try await plainly {
                let client = try BlockingClient(port: port)
                try client.send([1])
                #expect(try client.receive(exactly: 1) == [1])
                runtime.shutdown.request(reason: "enough")
                #expect(try client.receiveAll() == Array("bye".utf8))
                ended.withLock { $0 = true }
            }
            try await channel.closeFuture.get()
        }
        #expect(ended.withLock { $0 })
    }

    @Test("a port in use is an error, and leaves nothing open", arguments: backends)
    func inUse(backend: BackendKind) async throws {
        let record = Locked<[String]>([])
        try await withServer(backend, add { Recorder(record) }) { port, channel in
            guard let runtime = Runtime.current else { return }
            let bootstrap = NoriaServerBootstrap(group: NoriaEventLoopGroup(runtime))
            await #expect(throws: (any Error).self) {
                try await bootstrap.bind(host: Self.loopback, port: port).get()
            }
        }
    }
}
#endif
