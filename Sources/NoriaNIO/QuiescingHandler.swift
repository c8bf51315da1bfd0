// SPDX-License-Identifier: Apache-2.0
#if NIO
internal import NIOCore
internal import Noria
internal import NoriaSystem

/// Knows the connections of a listening channel, and lets the runtime's shutdown end them in order,
/// or who triggers a `ChannelShouldQuiesceEvent` outbound on the listening channel.
///
/// SAFETY (`@unchecked Sendable`): its state belongs to the listening channel's loop.
final class QuiescingHandler: ChannelDuplexHandler, @unchecked Sendable {
    typealias InboundIn = any Channel
    typealias InboundOut = any Channel
    typealias OutboundIn = Never
    typealias OutboundOut = Never

    private let listening: ServerSocketChannel
    private let runtime: Runtime
    private let isInService: Bool
    private var channels: [ObjectIdentifier: any Channel] = [:]
    private var isDraining = false
    /// The listening channel takes nobody any more.
    private var isClosed = false
    private var waiters: [EventLoopPromise<Void>] = []

    init(_ listening: ServerSocketChannel, _ runtime: Runtime, isInService: Bool) {
        self.listening = listening
        self.runtime = runtime
        self.isInService = isInService
    }

    func channelActive(context: ChannelHandlerContext) {
        let name = listening.localAddress.map { "\($0)" } ?? "?"
        ServiceScope.$isInService.withValue(isInService) {
            runtime.shutdown.register(Draining(handler: self), name: "SwiftNIO listener \(name)")
        }
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        isClosed = true
        wakeWhenOver()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let channel = unwrapInboundIn(data)
        channels[ObjectIdentifier(channel)] = channel
        // A peer that does not know of the end yet would be reset by the end of the process.
        let gone = (channel as? StreamSocketChannel)?.gonePromise.futureResult
        (gone ?? channel.closeFuture).hop(to: listening.eventLoop).whenComplete { _ in
            self.channels[ObjectIdentifier(channel)] = nil
            self.wakeWhenOver()
        }
        context.fireChannelRead(data)
        guard isDraining else { return }
        // When its pipeline has been readied, which was asked for just now.
        channel.eventLoop.execute {
            channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        }
    }

    func triggerUserOutboundEvent(
        context: ChannelHandlerContext,
        event: Any,
        promise: EventLoopPromise<Void>?
    ) {
        guard event is ChannelShouldQuiesceEvent else {
            return context.triggerUserOutboundEvent(event, promise: promise)
        }
        beginDrain()
        promise?.succeed()
    }

    private func beginDrain() {
        guard !isDraining else { return }
        isDraining = true
        listening.stopAccepting()
        for channel in channels.values {
            channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        }
    }

    private func wakeWhenOver() {
        guard isDraining, isClosed, channels.isEmpty else { return }
        for waiter in waiters { waiter.succeed() }
        waiters = []
    }

    /// Any thread.
    fileprivate func drain() async {
        let over = listening.eventLoop.makePromise(of: Void.self)
        listening.eventLoop.execute {
            self.waiters.append(over)
            self.beginDrain()
            self.wakeWhenOver()
        }
        // It never fails.
        try? await over.futureResult.get()
    }

    /// Any thread.
    fileprivate func abort() {
        listening.eventLoop.execute {
            self.listening.stopAtOnce()
            for channel in self.channels.values {
                (channel as? StreamSocketChannel)?.abort()
            }
        }
    }

    private struct Draining: Drainable {
        let handler: QuiescingHandler
        func drain(until deadline: ContinuousClock.Instant) async { await handler.drain() }
        func abort() { handler.abort() }
    }
}
#endif
