// SPDX-License-Identifier: Apache-2.0
#if Hummingbird
internal import HTTPTypes
internal import NIOCore
internal import NIOHTTPTypes

/// Closes a connection whose request head does not come in time, from the head's first byte on; the
/// first of a connection is waited for from its begin.
///
/// It stands before everything else, where bytes are bytes; `HeadWatcher` tells it of heads and ends.
/// A timer is not set for each request: one that is there looks when it fires.
final class HeaderTimeout: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let timeout: TimeAmount
    private var timer: Scheduled<Void>?
    /// When the head began that is not here yet.
    private var began: NIODeadline?
    private var isInRequest = false
    /// Bytes may be anything's: `HTTP2Watcher` tells of heads.
    private var isHTTP2 = false
    private var context: ChannelHandlerContext?

    init(_ timeout: TimeAmount) { self.timeout = timeout }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func channelActive(context: ChannelHandlerContext) {
        begin(context)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if !isHTTP2 { begin(context) }
        context.fireChannelRead(data)
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.cancel()
        self.context = nil
    }

    private func begin(_ context: ChannelHandlerContext) {
        guard !isInRequest, began == nil else { return }
        began = .now()
        if timer == nil { look(context, in: timeout) }
    }

    private func look(_ context: ChannelHandlerContext, in time: TimeAmount) {
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: time) {
            self.timer = nil
            guard let began = self.began else { return }
            let left = began + self.timeout - .now()
            if left <= .zero { context.close(promise: nil) } else { self.look(context, in: left) }
        }
    }

    /// Without a word more to the peer.
    func closeConnection() { context?.close(promise: nil) }

    func becomeHTTP2() { isHTTP2 = true }

    /// Whether a head of HTTP/2's is on its way, and another one than when it was told last.
    func note(isWithinHead: Bool, isAnother: Bool) {
        if isAnother || !isWithinHead { began = nil }
        if isWithinHead, let context { begin(context) }
    }

    func headCame() {
        isInRequest = true
        began = nil
    }

    func requestEnded() { isInRequest = false }
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
