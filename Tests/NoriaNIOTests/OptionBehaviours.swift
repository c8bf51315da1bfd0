// SPDX-License-Identifier: Apache-2.0
#if NIO
import Glibc
import NIOCore
import Noria
import NoriaNIO
import TestSupport
import Testing

extension ChannelTests {
    @Suite("Options are taken, told and obeyed", .serialized)
    struct OptionBehaviours {
        private func take<Option: ChannelOption>(
            _ option: Option,
            _ value: Option.Value,
            _ channel: any Channel
        ) async throws where Option.Value: Equatable {
            try await channel.setOption(option, value: value).get()
            #expect(try await channel.getOption(option).get() == value)
            let (set, told) = try await channel.eventLoop.submit {
                let options = try #require(channel.syncOptions)
                try options.setOption(option, value: value)
                return (true, try options.getOption(option))
            }.get()
            #expect(set && told == value)
        }

        @Test("Those of a channel, also synchronously, until it is closed", arguments: backends)
        func ofChannels(backend: BackendKind) async throws {
            try await ChannelTests.run(backend) { group in
                let pair = try await ChannelTests.pair(group)
                for channel in [pair.client, pair.child] {
                    try await take(.allowRemoteHalfClosure, true, channel)
                    try await take(.autoRead, true, channel)
                    try await take(.maxMessagesPerRead, 7, channel)
                    try await take(.writeSpin, 3, channel)
                    try await take(.connectTimeout, .seconds(1), channel)
                    try await take(.connectTimeout, nil, channel)
                    try await take(.tcpOption(.tcp_nodelay), 0, channel)
                    try await take(.socketOption(.so_keepalive), 1, channel)
                    let mark = ChannelOptions.Types.WriteBufferWaterMark(low: 1, high: 2)
                    try await channel.setOption(.writeBufferWaterMark, value: mark).get()
                    let told = try await channel.getOption(.writeBufferWaterMark).get()
                    #expect(told.low == 1 && told.high == 2)
                    let allocator = try await channel.getOption(.recvAllocator).get()
                    #expect(allocator is AdaptiveRecvByteBufferAllocator)
                    _ = try await channel.getOption(.allocator).get()
                    await #expect(throws: ChannelError.operationUnsupported) {
                        try await channel.setOption(.datagramVectorReadMessageCount, value: 1).get()
                    }
                    await #expect(throws: ChannelError.operationUnsupported) {
                        try await channel.triggerUserOutboundEvent("?").get()
                    }
                    // The kernel's own word, where there is no such option.
                    let error = await #expect(throws: IOError.self) {
                        try await channel.setOption(
                            .socket(SocketOptionLevel(SOL_SOCKET), 9999),
                            value: 1
                        ).get()
                    }
                    #expect(error?.errnoCode == ENOPROTOOPT)
                }
                try await take(.backlog, 100, pair.listener)
                try await take(.autoRead, true, pair.listener)
                try await take(.maxMessagesPerRead, 2, pair.listener)
                try await take(.socketOption(.so_reuseaddr), 1, pair.listener)
                try await pair.close()
                for channel in [pair.client, pair.child, pair.listener] {
                    await #expect(throws: ChannelError.ioOnClosedChannel) {
                        try await channel.setOption(.autoRead, value: true).get()
                    }
                    await #expect(throws: ChannelError.ioOnClosedChannel) {
                        try await channel.getOption(.autoRead).get()
                    }
                    await #expect(throws: ChannelError.ioOnClosedChannel) {
                        try await channel.setOption(.socketOption(.so_keepalive), value: 1).get()
                    }
                }
            }
        }

        @Test("Those of a socket, of any shape", arguments: backends)
        func ofSockets(backend: BackendKind) async throws {
            try await ChannelTests.run(backend) { group in
                let pair = try await ChannelTests.pair(group)
                for channel in [pair.client, pair.child, pair.listener] {
                    let provider = try #require(channel as? any SocketOptionProvider)
                    let before = try await provider.getSoLinger().get()
                    #expect(before.l_onoff == 0)
                    try await provider.setSoLinger(linger(l_onoff: 1, l_linger: 15)).get()
                    let after = try await provider.getSoLinger().get()
                    #expect(after.l_onoff != 0 && after.l_linger == 15)
                    try await provider.setSoLinger(linger(l_onoff: 0, l_linger: 0)).get()
                    await #expect(throws: IOError.self) {
                        try await provider.unsafeSetSocketOption(
                            level: .socket,
                            name: .so_linger,
                            value: UInt8(1)
                        ).get()
                    }
                    try await channel.setOption(.socketOption(.so_rcvbuf), value: 8192).get()
                    // Linux doubles what it is asked for (socket(7)).
                    #expect(try await channel.getOption(.socketOption(.so_rcvbuf)).get() == 16384)
                }
                let provider = try #require(pair.client as? any SocketOptionProvider)
                // TCP_ESTABLISHED
                #expect(try await provider.getTCPInfo().get().tcpi_state == 1)
                try await pair.close()
            }
        }

        @Test(
            "TCP_NODELAY is on from the start, for both kinds of address",
            arguments: backends,
            ["127.0.0.1", "::1"]
        )
        func noDelay(backend: BackendKind, host: String) async throws {
            try await ChannelTests.run(backend) { group in
                let child = group.next().makePromise(of: SocketOptionValue.self)
                let listener = try await NoriaServerBootstrap(group: group)
                    .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                    .serverChannelOption(.socketOption(.so_rcvbuf), value: 8192)
                    .childChannelInitializer { channel in
                        child.completeWith(channel.getOption(.tcpOption(.tcp_nodelay)))
                        return channel.eventLoop.makeSucceededVoidFuture()
                    }
                    .bind(host: host, port: 0).get()
                // Two of one kind, set before there was a socket.
                #expect(try await listener.getOption(.socketOption(.so_reuseaddr)).get() == 1)
                #expect(try await listener.getOption(.socketOption(.so_rcvbuf)).get() == 16384)
                let client = try await NoriaClientBootstrap(group: group)
                    .connect(to: try #require(listener.localAddress)).get()
                #expect(try await client.getOption(.tcpOption(.tcp_nodelay)).get() != 0)
                #expect(try await child.futureResult.get() != 0)
                try await client.close().get()
                try await listener.close().get()
            }
        }

        @Test(
            "A receive allocator makes the buffers, and is told what they were good for",
            arguments: backends
        )
        func receiveAllocator(backend: BackendKind) async throws {
            let (record, received) = (Locked<[String]>([]), Locked<[UInt8]>([]))
            let told = Locked<[Int]>([])
            try await ChannelTests.run(backend) { group in
                let pair = try await ChannelTests.pair(
                    group,
                    server: { [Journal(record), Collects(received)] },
                    autoRead: false
                )
                try await pair.child.setOption(.recvAllocator, value: Eights(told)).get()
                let bytes = [UInt8].pattern(20)
                try await pair.client.writeAndFlush(ByteBuffer(bytes: bytes)).get()
                pair.child.read()
                try await ChannelTests.wait("all", pair.child.eventLoop) {
                    received.withLock { $0.count } == 20
                }
                #expect(received.withLock { $0 } == bytes)
                #expect(told.withLock { $0 } == [8, 8, 4])
                #expect(
                    record.withLock { $0.filter { $0.hasPrefix("read ") } }
                        == ["read 8", "read 8", "read 4", "read complete"]
                )
                try await pair.close()
            }
        }

        private struct Eights: RecvByteBufferAllocator {
            private let told: Locked<[Int]>
            init(_ told: Locked<[Int]>) { self.told = told }
            func buffer(allocator: ByteBufferAllocator) -> ByteBuffer {
                allocator.buffer(capacity: 8)
            }
            mutating func record(actualReadBytes: Int) -> Bool {
                told.withLock { $0.append(actualReadBytes) }
                return false
            }
        }
    }
}
#endif
