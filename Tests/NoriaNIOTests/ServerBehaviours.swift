// SPDX-License-Identifier: Apache-2.0
#if NIO
import NIOCore
import Noria
import NoriaNIO
import TestSupport
import Testing

extension ChannelTests {
    @Suite("A listening channel keeps SwiftNIO's promises", .serialized)
    struct ServerBehaviours {
        @Test("It does what a listening one can, and refuses the rest by name", arguments: backends)
        func operations(backend: BackendKind) async throws {
            try await ChannelTests.run(backend) { group in
                let channel = try await NoriaServerBootstrap(group: group)
                    .bind(host: "127.0.0.1", port: 0).get()
                let address = try #require(channel.localAddress)
                #expect(channel.isActive && !channel.isWritable)
                await #expect(throws: ChannelError.operationUnsupported) {
                    try await channel.writeAndFlush(ByteBuffer(bytes: [1])).get()
                }
                await #expect(throws: ChannelError.operationUnsupported) {
                    try await channel.connect(to: address).get()
                }
                await #expect(throws: ChannelError.operationUnsupported) {
                    try await channel.triggerUserOutboundEvent("?").get()
                }
                await #expect(throws: ChannelError.operationUnsupported) {
                    try await channel.close(mode: .output).get()
                }
                await #expect(throws: ChannelError.inappropriateOperationForState) {
                    try await channel.bind(to: address).get()
                }
                await #expect(throws: ChannelError.inappropriateOperationForState) {
                    try await channel.register().get()
                }
                let taken = await #expect(throws: IOError.self) {
                    try await NoriaServerBootstrap(group: group).bind(to: address).get()
                }
                #expect(taken?.errnoCode == 98)
                try await channel.close().get()
                await #expect(throws: ChannelError.alreadyClosed) {
                    try await channel.close().get()
                }
                try await channel.closeFuture.get()
                #expect(channel.localAddress == nil)
            }
        }

        @Test(
            "A connection is accepted when that is asked for, as automatically it is",
            arguments: backends
        )
        func manualAccepts(backend: BackendKind) async throws {
            let accepted = Locked(0)
            try await ChannelTests.run(backend) { group in
                let channel = try await NoriaServerBootstrap(group: group)
                    .serverChannelOption(.autoRead, value: false)
                    .serverChannelOption(.backlog, value: 16)
                    .childChannelInitializer { channel in
                        accepted.withLock { $0 += 1 }
                        return channel.eventLoop.makeSucceededVoidFuture()
                    }
                    .bind(host: "127.0.0.1", port: 0).get()
                #expect(try await channel.getOption(.backlog).get() == 16)
                let port = try #require(channel.localAddress?.port)
                let clients = try await ChannelTests.blocking {
                    try (0..<3).map { _ in try BlockingClient(port: port) }
                }
                for _ in 0..<10 { try await channel.eventLoop.submit {}.get() }
                #expect(accepted.withLock { $0 } == 0)
                channel.read()
                try await ChannelTests.wait("one", channel.eventLoop) {
                    accepted.withLock { $0 } == 1
                }
                for _ in 0..<10 { try await channel.eventLoop.submit {}.get() }
                #expect(accepted.withLock { $0 } == 1)
                try await channel.setOption(.autoRead, value: true).get()
                try await ChannelTests.wait("all", channel.eventLoop) {
                    accepted.withLock { $0 } == 3
                }
                for client in clients { client.close() }
                try await channel.close().get()
            }
        }

        @Test(
            "Connections live on the loops in turn, and outlive the listener",
            arguments: backends
        )
        func homes(backend: BackendKind) async throws {
            let homes = Locked<[ObjectIdentifier]>([])
            try await ChannelTests.run(backend, loops: 2) { group in
                let listener = try await NoriaServerBootstrap(group: group)
                    .childChannelInitializer { channel in
                        #expect(channel.eventLoop.inEventLoop)
                        homes.withLock { $0.append(ObjectIdentifier(channel.eventLoop)) }
                        return ChannelTests.add(Lines(), channel)
                    }
                    .bind(host: "127.0.0.1", port: 0).get()
                let port = try #require(listener.localAddress?.port)
                let clients = try await ChannelTests.blocking {
                    try (0..<4).map { _ in
                        let client = try BlockingClient(port: port)
                        try client.send([10])
                        #expect(try client.receive(exactly: 1) == [10])
                        return client
                    }
                }
                #expect(homes.withLock { Set($0) }.count == 2)
                #expect(homes.withLock { $0[0] == $0[2] && $0[1] == $0[3] })
                try await listener.close().get()
                try await ChannelTests.blocking {
                    for client in clients {
                        try client.send([10])
                        #expect(try client.receive(exactly: 1) == [10])
                        client.close()
                    }
                    #expect(throws: BlockingClient.Failure.self) { try BlockingClient(port: port) }
                }
            }
        }

        private struct Refused: Error {}

        @Test(
            "Who can't be readied is closed, and the listener is told why",
            arguments: backends,
            [1, 2]
        )
        func refused(backend: BackendKind, loops: Int) async throws {
            let record = Locked<[String]>([])
            let count = Locked(0)
            try await ChannelTests.run(backend, loops: loops) { group in
                let listener = try await NoriaServerBootstrap(group: group)
                    .serverChannelInitializer { $0.pipeline.addHandler(ErrorJournal(record)) }
                    .childChannelInitializer { channel in
                        let isOdd = count.withLock {
                            $0 += 1
                            return $0 % 2 == 1
                        }
                        guard isOdd else { return ChannelTests.add(Lines(), channel) }
                        return channel.eventLoop.makeFailedFuture(Refused())
                    }
                    .bind(host: "127.0.0.1", port: 0).get()
                let port = try #require(listener.localAddress?.port)
                try await ChannelTests.blocking {
                    for number in 0..<4 {
                        let client = try BlockingClient(port: port)
                        try? client.send([10])
                        let answer = (try? client.receive(exactly: 1)) ?? []
                        #expect(answer == (number % 2 == 0 ? [] : [10]))
                        client.close()
                    }
                }
                try await ChannelTests.wait("both errors", listener.eventLoop) {
                    record.withLock { $0.count { $0 == "Refused()" } } == 2
                }
                let loops = try #require(Runtime.current).eventLoops
                try await ChannelTests.wait("the count", listener.eventLoop) {
                    loops.reduce(0) { $0 + $1.snapshot().streams.unhandledErrors } == 2
                }
                try await listener.close().get()
            }
        }

        @Test(
            "Asked to quiesce it lets nobody in; a close that is refused is told",
            arguments: backends
        )
        func quiesces(backend: BackendKind) async throws {
            let record = Locked<[String]>([])
            try await ChannelTests.run(backend) { group in
                let listener = try await NoriaServerBootstrap(group: group)
                    .serverChannelInitializer { $0.pipeline.addHandler(RefusesOnce(record)) }
                    .childChannelInitializer { ChannelTests.add(Lines(), $0) }
                    .bind(host: "127.0.0.1", port: 0).get()
                let port = try #require(listener.localAddress?.port)
                let client = try await ChannelTests.blocking {
                    let client = try BlockingClient(port: port)
                    try client.send([10])
                    #expect(try client.receive(exactly: 1) == [10])
                    return client
                }
                listener.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
                try await ChannelTests.wait("the error", listener.eventLoop) {
                    record.withLock { $0.contains("error") }
                }
                try await listener.close().get()
                #expect(record.withLock { $0 } == ["close", "error", "close"])
                try await ChannelTests.blocking {
                    try client.send([10])
                    #expect(try client.receive(exactly: 1) == [10])
                    client.close()
                }
            }
        }
    }
}

/// Writes down the errors of a listening channel.
private final class ErrorJournal: ChannelInboundHandler, Sendable {
    typealias InboundIn = any Channel
    private let record: Locked<[String]>
    init(_ record: Locked<[String]>) { self.record = record }
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        record.withLock { $0.append("\(error)") }
        context.fireErrorCaught(error)
    }
}

/// Refuses the first close, and lets the next through.
private final class RefusesOnce: ChannelDuplexHandler, @unchecked Sendable {
    typealias InboundIn = any Channel
    typealias OutboundIn = Never
    private let record: Locked<[String]>
    private var hasRefused = false

    init(_ record: Locked<[String]>) { self.record = record }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        record.withLock { $0.append("close") }
        guard hasRefused else {
            hasRefused = true
            promise?.fail(CancellationError())
            return
        }
        context.close(mode: mode, promise: promise)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        record.withLock { $0.append("error") }
        context.fireErrorCaught(error)
    }
}
#endif
