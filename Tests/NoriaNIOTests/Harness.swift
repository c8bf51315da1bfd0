// SPDX-License-Identifier: Apache-2.0
#if NIO
import NIOCore
import Noria
import NoriaNIO
import TestSupport
import Testing

/// What the suites of behaviours share: runtimes, and pairs of channels of ours.
extension ChannelTests {
    /// A group of a runtime of its own.
    static func run(
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

    /// Calls that block, away from the loops.
    static func blocking<Value: Sendable>(
        _ body: @escaping @Sendable () throws -> Value
    ) async throws -> Value {
        let runtime = try #require(Runtime.current)
        return try await runtime.blocking.run { try body() }
    }

    /// Adds a handler that need not be safe to send.
    static func add(
        _ handler: @autoclosure () -> some ChannelHandler,
        _ channel: any Channel
    ) -> EventLoopFuture<Void> {
        channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(handler())
        }
    }

    /// Two connected channels, both active.
    static func pair(
        _ group: NoriaEventLoopGroup,
        server: @escaping @Sendable () -> [any ChannelHandler] = { [] },
        client: @escaping @Sendable () -> [any ChannelHandler] = { [] },
        halfClosure: Bool = true,
        autoRead: Bool = true
    ) async throws -> Pair {
        let child = group.next().makePromise(of: (any Channel).self)
        let listener = try await NoriaServerBootstrap(group: group)
            .childChannelOption(.allowRemoteHalfClosure, value: halfClosure)
            .childChannelOption(.autoRead, value: autoRead)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers(server())
                    try channel.pipeline.syncOperations.addHandler(WhenActive(child))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(listener.localAddress?.port)
        let channel = try await NoriaClientBootstrap(group: group)
            .channelOption(.allowRemoteHalfClosure, value: halfClosure)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers(client())
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
        return Pair(
            listener: listener,
            child: try await child.futureResult.get(),
            client: channel
        )
    }

    struct Pair: Sendable {
        let listener: any Channel
        let child: any Channel
        let client: any Channel

        func close() async throws {
            for channel in [client, child, listener] {
                try? await channel.close().get()
                try await channel.closeFuture.get()
            }
        }
    }

    /// Connections of this runtime's, whatever else the process has open.
    @Sendable
    static func openConnections() -> Int {
        (Runtime.current?.snapshot().eventLoops ?? []).reduce(0) { $0 + $1.connectionsOpen }
    }

    /// Turns the loop until something is so; ten seconds at most.
    static func wait(
        _ what: String,
        _ loop: any NIOCore::EventLoop,
        until condition: @escaping @Sendable () -> Bool
    ) async throws {
        let end = ContinuousClock.now + .seconds(10)
        while !condition() {
            try #require(ContinuousClock.now < end, "waited in vain for \(what)")
            _ = try? await loop.submit {}.get()
        }
    }
}

/// Tells of a channel that has become active.
private final class WhenActive: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    private let promise: EventLoopPromise<any Channel>

    init(_ promise: EventLoopPromise<any Channel>) { self.promise = promise }

    func channelActive(context: ChannelHandlerContext) {
        promise.succeed(context.channel)
        context.fireChannelActive()
    }
}

/// Writes down everything that a channel is told and asked, and passes it on.
final class Journal: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer

    let record: Locked<[String]>
    /// What is done when a word is written down.
    private let reactions: [String: (ChannelHandlerContext) -> Void]

    init(_ record: Locked<[String]>, on reactions: [String: (ChannelHandlerContext) -> Void] = [:])
    {
        (self.record, self.reactions) = (record, reactions)
    }

    private func note(_ word: String, _ context: ChannelHandlerContext) {
        record.withLock { $0.append(word) }
        reactions[word]?(context)
    }

    func channelRegistered(context: ChannelHandlerContext) {
        note("registered", context)
        context.fireChannelRegistered()
    }
    func channelUnregistered(context: ChannelHandlerContext) {
        note("unregistered", context)
        context.fireChannelUnregistered()
    }
    func channelActive(context: ChannelHandlerContext) {
        note("active", context)
        context.fireChannelActive()
    }
    func channelInactive(context: ChannelHandlerContext) {
        note("inactive", context)
        context.fireChannelInactive()
    }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = unwrapInboundIn(data)
        note("read", context)
        note("read \(bytes.readableBytes)", context)
        context.fireChannelRead(data)
    }
    func channelReadComplete(context: ChannelHandlerContext) {
        note("read complete", context)
        context.fireChannelReadComplete()
    }
    func channelWritabilityChanged(context: ChannelHandlerContext) {
        note("writable \(context.channel.isWritable)", context)
        context.fireChannelWritabilityChanged()
    }
    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        note("event \(event)", context)
        context.fireUserInboundEventTriggered(event)
    }
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        note("error \((error as? IOError).map { "\($0.errnoCode)" } ?? "\(error)")", context)
        context.fireErrorCaught(error)
    }
    func handlerRemoved(context: ChannelHandlerContext) { note("removed", context) }
    func read(context: ChannelHandlerContext) {
        note("asks to read", context)
        context.read()
    }
}
#endif
