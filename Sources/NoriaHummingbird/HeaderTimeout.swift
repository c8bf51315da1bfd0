// SPDX-License-Identifier: Apache-2.0
#if Hummingbird
internal import HTTPTypes
internal import NIOCore
internal import NIOHTTPTypes

/// Closes a connection whose request head does not come in time, from the head's first byte on; the
/// first of a connection is waited for from its begin.
///
/// It stands before everything else, where bytes are bytes; `HeadWatcher` tells it of heads and ends.
final class HeaderTimeout: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let timeout: TimeAmount
    private var timer: Scheduled<Void>?
    private var isInRequest = false

    init(_ timeout: TimeAmount) { self.timeout = timeout }

    func channelActive(context: ChannelHandlerContext) {
        begin(context)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        begin(context)
        context.fireChannelRead(data)
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) { timer?.cancel() }

    private func begin(_ context: ChannelHandlerContext) {
        guard !isInRequest, timer == nil else { return }
        let channel = context.channel
        timer = context.eventLoop.scheduleTask(in: timeout) { channel.close(promise: nil) }
    }

    fileprivate func headCame() {
        isInRequest = true
        timer?.cancel()
        timer = nil
    }

    fileprivate func requestEnded() { isInRequest = false }
}

/// Tells `HeaderTimeout` what became of the bytes.
final class HeadWatcher: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart

    private var timeout: HeaderTimeout?

    func handlerAdded(context: ChannelHandlerContext) {
        timeout = try? context.pipeline.syncOperations.handler(type: HeaderTimeout.self)
    }

    func handlerRemoved(context: ChannelHandlerContext) { timeout = nil }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head: timeout?.headCame()
        case .end: timeout?.requestEnded()
        case .body: break
        }
        context.fireChannelRead(data)
    }
}
#endif
