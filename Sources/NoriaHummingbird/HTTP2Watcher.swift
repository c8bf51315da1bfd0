// SPDX-License-Identifier: Apache-2.0
#if Hummingbird
internal import HummingbirdCore
internal import Logging
internal import NIOCore
internal import NIOHTTP2
internal import NIOSSL
internal import NIOTLS
internal import NoriaNIO

/// Stands where bytes are plain, before HTTP/2's handlers: tells `HeaderTimeout` of heads, has a
/// shutdown that comes during the handshake told after it, when there is somebody to hear it, and
/// keeps a shutdown from cutting streams in flight.
///
/// Where the handshake agrees on HTTP/1.1 it does not look: `HeadWatcher` is there.
final class HTTP2Watcher: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = Never
    typealias OutboundOut = Never

    private let timeout: HeaderTimeout
    private var reader: FrameReader?
    private var isInHandshake: Bool
    private var isQuiescing = false
    private var isClosing = false

    init(_ timeout: HeaderTimeout, isInHandshake: Bool) {
        self.timeout = timeout
        self.isInHandshake = isInHandshake
        if !isInHandshake { begin() }
    }

    private func begin() {
        reader = FrameReader()
        timeout.becomeHTTP2()
    }

    func handlerAdded(context: ChannelHandlerContext) {
        if !isInHandshake { StreamErrors.keep(from: context) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // Window updates for what has ended, say, which swift-nio-http2 calls an error by then.
        guard !isClosing else { return }
        if var reader = reader.take() {
            let begins = reader.beginCount
            reader.read(unwrapInboundIn(data).readableBytesView)
            timeout.note(isWithinHead: reader.isWithinHead, isAnother: reader.beginCount != begins)
            self.reader = reader
        }
        context.fireChannelRead(data)
        guard isQuiescing else { return }
        isQuiescing = false
        // The client has begun, and what came with its first bytes is served.
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.eventLoop.execute {
            bound.value.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case is ChannelShouldQuiesceEvent where isInHandshake:
            isQuiescing = true
            return
        case TLSUserEvent.handshakeCompleted(let version):
            isInHandshake = false
            if version == "h2" { begin() }
        default: break
        }
        context.fireUserInboundEventTriggered(event)
        if case TLSUserEvent.handshakeCompleted("h2") = event { StreamErrors.keep(from: context) }
    }

    /// TLS has told the peer of the end and waits 5 s for its answer, also when the peer is gone.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard isClosing, error as? NIOSSLError == .uncleanShutdown else {
            return context.fireErrorCaught(error)
        }
        timeout.closeConnection()
    }

    /// Hummingbird closes at the end of the last stream, from within the write of that end, which is
    /// flushed after it: at once, it would be cut.
    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard mode == .all, reader != nil else {
            return context.close(mode: mode, promise: promise)
        }
        isClosing = true
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.eventLoop.execute {
            bound.value.flush()
            bound.value.close(mode: mode, promise: promise)
        }
    }
}

/// Keeps errors of one stream, which has been reset, from Hummingbird's handler, which would close
/// the connection and cut all the others.
///
/// A shutdown has them where a peer begins streams after it was told.
private final class StreamErrors: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame

    /// Where HTTP/2's own handler is in the pipeline; and has it told of a shutdown in time.
    static func keep(from context: ChannelHandlerContext) {
        let pipeline = context.pipeline.syncOperations
        guard let http2 = try? pipeline.handler(type: NIOHTTP2Handler.self) else { return }
        // It fails only where the channel is gone.
        try? pipeline.addHandler(HTTP2GoAwayHandler(), position: .before(http2))
        try? pipeline.addHandler(StreamErrors(), position: .after(http2))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if !(error is NIOHTTP2Errors.StreamError) { context.fireErrorCaught(error) }
    }
}

/// A connection of HTTP/2, or of what the handshake agrees on, with its watcher.
struct HTTP2Watched<Child: ServerChildChannel>: ServerChildChannel {
    typealias Value = Child.Value

    let child: Child

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Child.Value> {
        child.setup(channel: channel, logger: logger).flatMapThrowing { value in
            let pipeline = channel.pipeline.syncOperations
            let timeout = try pipeline.handler(type: HeaderTimeout.self)
            let tls = try? pipeline.handler(type: NIOSSLServerHandler.self)
            try pipeline.addHandler(
                HTTP2Watcher(timeout, isInHandshake: tls != nil),
                position: .after(tls ?? timeout)
            )
            return value
        }
    }

    func handle(value: Child.Value, logger: Logger) async {
        await child.handle(value: value, logger: logger)
    }
}
#endif
