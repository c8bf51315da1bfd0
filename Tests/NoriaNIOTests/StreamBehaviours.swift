// SPDX-License-Identifier: Apache-2.0
#if NIO
import NIOCore
import Noria
import NoriaNIO
import TestSupport
import Testing

extension ChannelTests {
    @Suite("A connection keeps SwiftNIO's promises", .serialized)
    struct StreamBehaviours {
        @Test("What waits to be sent passes the marks, each time once", arguments: backends)
        func marks(backend: BackendKind) async throws {
            let record = Locked<[String]>([])
            try await ChannelTests.run(backend) { group in
                let pair = try await ChannelTests.pair(group, client: { [Journal(record)] })
                let client = pair.client
                func changes() -> [String] {
                    record.withLock { $0.filter { $0.hasPrefix("writable") } }
                }
                let mark = ChannelOptions.Types.WriteBufferWaterMark(low: 10, high: 20)
                try await client.setOption(.writeBufferWaterMark, value: mark).get()
                #expect(client.isWritable)
                let first = client.write(ByteBuffer(repeating: 1, count: 20))
                #expect(try await client.getOption(.bufferedWritableBytes).get() == 20)
                #expect(client.isWritable && changes() == [])
                let second = client.write(ByteBuffer(repeating: 1, count: 1))
                #expect(try await client.getOption(.bufferedWritableBytes).get() == 21)
                #expect(!client.isWritable && changes() == ["writable false"])
                client.flush()
                try await first.get()
                try await second.get()
                #expect(client.isWritable && changes() == ["writable false", "writable true"])
                #expect(try await client.getOption(.bufferedWritableBytes).get() == 0)
                // Marks that are moved count at once.
                client.write(ByteBuffer(repeating: 1, count: 15), promise: nil)
                let lower = ChannelOptions.Types.WriteBufferWaterMark(low: 5, high: 10)
                try await client.setOption(.writeBufferWaterMark, value: lower).get()
                #expect(!client.isWritable)
                let higher = ChannelOptions.Types.WriteBufferWaterMark(low: 50, high: 100)
                try await client.setOption(.writeBufferWaterMark, value: higher).get()
                #expect(client.isWritable && changes().count == 4)
                // What is written and sent at once passes none.
                try await client.writeAndFlush(ByteBuffer(repeating: 1, count: 50)).get()
                #expect(changes().count == 4)
                try await pair.close()
            }
        }

        @Test(
            "Thousands of writes of all sizes come whole, their promises in order",
            arguments: backends
        )
        func manyWrites(backend: BackendKind) async throws {
            let received = Locked<[UInt8]>([])
            try await ChannelTests.run(backend) { group in
                let pair = try await ChannelTests.pair(group, server: { [Collects(received)] })
                let client = pair.client
                let done = Locked<[Int]>([])
                // Small ones alone, large ones alone, and both; empty ones among them.
                let sizes = (0..<1200).map {
                    [0, 1, 100, 3000, 20_000, 0, 7][$0 % ($0 < 400 ? 3 : 7)]
                }
                let bytes = [UInt8].pattern(sizes.reduce(0, +))
                let whole = ByteBuffer(bytes: bytes)
                let last = try await client.eventLoop.submit {
                    var offset = 0
                    var last = client.eventLoop.makeSucceededVoidFuture()
                    for (index, size) in sizes.enumerated() {
                        let part = whole.getSlice(at: offset, length: size) ?? ByteBuffer()
                        last = client.write(part)
                        last.whenSuccess { done.withLock { $0.append(index) } }
                        offset += size
                        if index % 300 == 0 { client.flush() }
                    }
                    client.flush()
                    return last
                }.get()
                try await last.get()
                try await ChannelTests.wait("all bytes", client.eventLoop) {
                    received.withLock { $0.count } >= bytes.count
                }
                #expect(received.withLock { $0 } == bytes)
                #expect(done.withLock { $0 } == Array(0..<1200))
                try await pair.close()
            }
        }

        @Test("What was not flushed is not sent, and fails with the close", arguments: backends)
        func unflushed(backend: BackendKind) async throws {
            let received = Locked<[UInt8]>([])
            try await ChannelTests.run(backend) { group in
                let pair = try await ChannelTests.pair(
                    group,
                    server: { [Collects(received)] },
                    halfClosure: false
                )
                let client = pair.client
                try await client.writeAndFlush(ByteBuffer(bytes: [])).get()
                client.flush()
                try await client.writeAndFlush(ByteBuffer(bytes: [1, 2])).get()
                let left = client.write(ByteBuffer(bytes: [3]))
                try await client.close().get()
                await #expect(throws: ChannelError.ioOnClosedChannel) { try await left.get() }
                await #expect(throws: ChannelError.ioOnClosedChannel) {
                    try await client.writeAndFlush(ByteBuffer(bytes: [4])).get()
                }
                await #expect(throws: ChannelError.alreadyClosed) { try await client.close().get() }
                try await client.closeFuture.get()
                #expect(!client.isActive)
                try await pair.child.closeFuture.get()
                #expect(received.withLock { $0 } == [1, 2])
                try await pair.close()
            }
        }

        @Test("Flushed before it is active, it is sent as soon as it is", arguments: backends)
        func early(backend: BackendKind) async throws {
            let received = Locked<[UInt8]>([])
            try await ChannelTests.run(backend) { group in
                let listener = try await NoriaServerBootstrap(group: group)
                    .childChannelInitializer { channel in
                        channel.writeAndFlush(ByteBuffer(bytes: [9]), promise: nil)
                        return channel.eventLoop.makeSucceededVoidFuture()
                    }
                    .bind(host: "127.0.0.1", port: 0).get()
                let channel = try await NoriaClientBootstrap(group: group)
                    .channelInitializer { channel in
                        channel.writeAndFlush(ByteBuffer(bytes: [8]), promise: nil)
                        return channel.pipeline.addHandler(Collects(received))
                    }
                    .connect(to: try #require(listener.localAddress)).get()
                try await ChannelTests.wait("a byte", channel.eventLoop) {
                    received.withLock { $0 } == [9]
                }
                #expect(try await channel.getOption(.bufferedWritableBytes).get() == 0)
                try await channel.close().get()
                try await listener.close().get()
            }
        }

        @Test(
            "Our end is told behind what was written, and nothing more is taken",
            arguments: backends
        )
        func outputClosed(backend: BackendKind) async throws {
            let (record, received) = (Locked<[String]>([]), Locked<[UInt8]>([]))
            try await ChannelTests.run(backend) { group in
                let pair = try await ChannelTests.pair(
                    group,
                    server: { [Collects(received), Journal(record)] }
                )
                let client = pair.client
                let written = client.write(ByteBuffer(bytes: [1, 2, 3]))
                let closed: EventLoopFuture<Void> = client.close(mode: .output)
                let refused = client.write(ByteBuffer(bytes: [4]))
                await #expect(throws: ChannelError.outputClosed) { try await refused.get() }
                await #expect(throws: ChannelError.outputClosed) {
                    try await client.close(mode: .output).get()
                }
                client.flush()
                try await written.get()
                try await closed.get()
                try await ChannelTests.wait("the end", client.eventLoop) {
                    record.withLock { $0.contains("event inputClosed") }
                }
                #expect(received.withLock { $0 } == [1, 2, 3])
                #expect(client.isActive && pair.child.isActive)
                // The other direction goes on; with its end both are closed.
                try await pair.child.writeAndFlush(ByteBuffer(bytes: [5])).get()
                try await pair.child.close(mode: .output).get()
                try await pair.child.closeFuture.get()
                try await client.closeFuture.get()
                await #expect(throws: ChannelError.alreadyClosed) { try await client.close().get() }
                #expect(!record.withLock { $0.contains { $0.hasPrefix("error") } })
                try await pair.close()
            }
        }

        @Test("Closed for input, it reads nothing more and can still write", arguments: backends)
        func inputClosed(backend: BackendKind) async throws {
            let (record, received) = (Locked<[String]>([]), Locked<[UInt8]>([]))
            try await ChannelTests.run(backend) { group in
                let pair = try await ChannelTests.pair(
                    group,
                    server: { [Collects(received)] },
                    client: { [Journal(record)] }
                )
                let client = pair.client
                // Our own end is none of the peer's, which would close it.
                try await client.setOption(.allowRemoteHalfClosure, value: false).get()
                try await client.close(mode: .input).get()
                await #expect(throws: ChannelError.inputClosed) {
                    try await client.close(mode: .input).get()
                }
                #expect(record.withLock { $0.contains("event inputClosed") })
                try await pair.child.writeAndFlush(ByteBuffer(bytes: [1])).get()
                try await client.writeAndFlush(ByteBuffer(bytes: [2])).get()
                try await ChannelTests.wait("a byte", client.eventLoop) {
                    received.withLock { $0 } == [2]
                }
                #expect(client.isActive)
                #expect(!record.withLock { $0.contains("read") })
                #expect(record.withLock { $0.count { $0 == "event inputClosed" } } == 1)
                try await client.close(mode: .output).get()
                try await client.closeFuture.get()
                try await pair.close()
            }
        }

        @Test(
            "The peer's end closes it, and is no error, unless half-closure is allowed",
            arguments: backends
        )
        func end(backend: BackendKind) async throws {
            let record = Locked<[String]>([])
            try await ChannelTests.run(backend) { group in
                let pair = try await ChannelTests.pair(
                    group,
                    server: { [Journal(record)] },
                    halfClosure: false
                )
                try await pair.client.close().get()
                try await pair.child.closeFuture.get()
                #expect(
                    record.withLock { $0.filter { $0 != "asks to read" } }
                        == ["registered", "active", "inactive", "unregistered", "removed"]
                )
                try await pair.close()
            }
        }

        @Test(
            "A reset is an error, told before the close, with no end of a read",
            arguments: backends
        )
        func reset(backend: BackendKind) async throws {
            let record = Locked<[String]>([])
            try await ChannelTests.run(backend) { group in
                let listener = try BlockingListener()
                let channel = try await NoriaClientBootstrap(group: group)
                    .channelInitializer { ChannelTests.add(Journal(record), $0) }
                    .connect(host: "127.0.0.1", port: listener.port).get()
                let loops = try #require(Runtime.current).eventLoops
                try await ChannelTests.blocking { try listener.accept().abort() }
                try await channel.closeFuture.get()
                #expect(
                    record.withLock { $0.filter { $0 != "asks to read" } } == [
                        "registered", "active", "error 104", "inactive", "unregistered", "removed",
                    ]
                )
                try await ChannelTests.wait("the count", channel.eventLoop) {
                    loops.reduce(0) { $0 + $1.snapshot().streams.reset } == 1
                }
                #expect(loops.allSatisfy { $0.snapshot().streams.unhandledErrors == 0 })
                // A write meets it, too, and its promise is told.
                await #expect(throws: ChannelError.ioOnClosedChannel) {
                    try await channel.writeAndFlush(ByteBuffer(bytes: [1])).get()
                }
            }
        }

        @Test(
            "Closed from within whatever it is told, it tells the rest in order",
            arguments: backends,
            [
                "registered", "active", "read", "read complete", "inactive", "unregistered",
                "event inputClosed",
            ]
        )
        func closedWithin(backend: BackendKind, word: String) async throws {
            let record = Locked<[String]>([])
            try await ChannelTests.run(backend) { group in
                let listener = try BlockingListener()
                let future = NoriaClientBootstrap(group: group)
                    .channelOption(.allowRemoteHalfClosure, value: word == "event inputClosed")
                    .channelInitializer { channel in
                        channel.eventLoop.makeCompletedFuture {
                            try channel.pipeline.syncOperations.addHandler(
                                Journal(record, on: [word: { $0.close(promise: nil) }])
                            )
                        }
                    }
                    .connect(host: "127.0.0.1", port: listener.port)
                if word == "registered" {
                    await #expect(throws: ChannelError.self) { try await future.get() }
                } else {
                    let channel = try await future.get()
                    try await ChannelTests.blocking {
                        let client = try listener.accept()
                        try? client.send([1])
                        client.endSending()
                        _ = try? client.receiveAll()
                        client.close()
                    }
                    if channel.isActive { try? await channel.close().get() }
                    try await channel.closeFuture.get()
                }
                try await ChannelTests.wait("the end", group.next()) {
                    record.withLock { $0.last } == "removed"
                }
                let seen = record.withLock { $0 }
                #expect(seen.contains(word), "\(seen)")
                let order = ["registered", "active", "inactive", "unregistered", "removed"]
                let told = seen.filter(order.contains)
                #expect(
                    told
                        == (word == "registered"
                            ? ["registered", "unregistered", "removed"] : order)
                )
                #expect(!seen.contains { $0.hasPrefix("error") }, "\(seen)")
            }
        }

        @Test(
            "Without automatic reading each read is asked for, and the end comes with one",
            arguments: backends
        )
        func manualReads(backend: BackendKind) async throws {
            let record = Locked<[String]>([])
            try await ChannelTests.run(backend) { group in
                let pair = try await ChannelTests.pair(
                    group,
                    server: { [Journal(record)] },
                    autoRead: false
                )
                try await pair.client.writeAndFlush(ByteBuffer(bytes: [1, 2])).get()
                try await pair.client.close(mode: .output).get()
                for _ in 0..<10 { try await pair.child.eventLoop.submit {}.get() }
                #expect(record.withLock { $0 } == ["registered", "active"])
                pair.child.read()
                try await ChannelTests.wait("the bytes", pair.child.eventLoop) {
                    record.withLock { $0.last } == "read complete"
                }
                #expect(
                    record.withLock { Array($0.dropFirst(2)) } == [
                        "asks to read", "read", "read 2", "read complete",
                    ]
                )
                // Set again, it asks by itself, through the pipeline.
                try await pair.child.setOption(.autoRead, value: true).get()
                try await ChannelTests.wait("the end", pair.child.eventLoop) {
                    record.withLock { $0.contains("event inputClosed") }
                }
                #expect(record.withLock { $0.count { $0 == "asks to read" } } == 2)
                try await pair.close()
            }
        }

        @Test("Its addresses are known until it is closed", arguments: backends)
        func addresses(backend: BackendKind) async throws {
            let known = Locked<[Bool]>([])
            try await ChannelTests.run(backend) { group in
                let note: @Sendable (any Channel) -> Void = { channel in
                    known.withLock {
                        $0.append(channel.localAddress != nil && channel.remoteAddress != nil)
                    }
                }
                let pair = try await ChannelTests.pair(
                    group,
                    client: {
                        [
                            Journal(
                                Locked([]),
                                on: [
                                    "inactive": { note($0.channel) },
                                    "removed": { note($0.channel) },
                                ]
                            )
                        ]
                    }
                )
                #expect(pair.client.remoteAddress == pair.listener.localAddress)
                #expect(pair.client.localAddress == pair.child.remoteAddress)
                #expect(pair.child.parent === pair.listener && pair.client.parent == nil)
                #expect("\(pair.client)" != "")
                try await pair.close()
                #expect(known.withLock { $0 } == [true, true])
                for channel in [pair.client, pair.child, pair.listener] {
                    #expect(channel.localAddress == nil && channel.remoteAddress == nil)
                }
            }
        }

        @Test("What is written when there is room again is sent, however deep", arguments: backends)
        func withinWritability(backend: BackendKind) async throws {
            let (record, received) = (Locked<[String]>([]), Locked<[UInt8]>([]))
            try await ChannelTests.run(backend) { group in
                let rounds = Locked(20)
                let pair = try await ChannelTests.pair(
                    group,
                    server: { [Collects(received)] },
                    client: {
                        let again: (ChannelHandlerContext) -> Void = { context in
                            let isLast = rounds.withLock {
                                $0 -= 1
                                return $0 <= 0
                            }
                            guard !isLast else { return }
                            let bytes = ByteBuffer(repeating: 1, count: 100_000)
                            context.writeAndFlush(NIOAny(bytes), promise: nil)
                        }
                        return [Journal(record, on: ["writable true": again])]
                    }
                )
                pair.client.writeAndFlush(ByteBuffer(repeating: 1, count: 100_000), promise: nil)
                try await ChannelTests.wait("all", pair.client.eventLoop) {
                    received.withLock { $0.count } == 2_000_000
                }
                try await pair.close()
            }
            let changes = record.withLock { $0.filter { $0.hasPrefix("writable") } }
            #expect(changes.count == 40)
            #expect(changes.indices.allSatisfy { changes[$0] == "writable \($0 % 2 == 1)" })
        }
    }
}

/// Keeps what comes.
final class Collects: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    private let received: Locked<[UInt8]>

    init(_ received: Locked<[UInt8]>) { self.received = received }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        received.withLock { $0 += Array(unwrapInboundIn(data).readableBytesView) }
        context.fireChannelRead(data)
    }
}
#endif
