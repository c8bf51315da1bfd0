// SPDX-License-Identifier: Apache-2.0
#if NIO
package import NIOCore

/// Tells an HTTP/2 peer of a shutdown before the protocol's own handlers hear of it.
///
/// swift-nio-http2 (1.46) refuses new streams as soon as it has sent a GOAWAY, also one that allows
/// them, and a body that follows is an error of the whole connection: calls that were on their way
/// hang or are cut. So GOAWAY and a PING are written here, below it, and it is told when the peer
/// has answered: what was on its way has come by then, and nothing new is begun.
///
/// It stands where bytes are plain, and sees them from the connection's first on.
package final class HTTP2GoAwayHandler: ChannelInboundHandler {
    package typealias InboundIn = ByteBuffer
    package typealias InboundOut = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    private var acknowledgements = PingReader()
    private var hasBegun = false
    private var isTold = false
    /// Of the answer that is waited for.
    private var timer: Scheduled<Void>?

    package init() {}

    /// How long the peer may take to answer: then it is told once more, by who refuses.
    private static let answerTime = TimeAmount.seconds(2)

    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event is ChannelShouldQuiesceEvent, hasBegun else {
            return context.fireUserInboundEventTriggered(event)
        }
        guard !isTold else { return }
        isTold = true
        var frames = context.channel.allocator.buffer(capacity: 34)
        // GOAWAY: 8 bytes, kind 7, no stream; the last that is allowed, no error.
        frames.writeBytes([0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0])
        // PING: 8 bytes, kind 6, no stream.
        frames.writeBytes([0, 0, 8, 6, 0, 0, 0, 0, 0] + PingReader.mark)
        context.writeAndFlush(wrapOutboundOut(frames), promise: nil)
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: Self.answerTime) {
            self.passOn(context)
        }
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        hasBegun = true
        let isAnswered = acknowledgements.read(unwrapInboundIn(data).readableBytesView)
        context.fireChannelRead(data)
        if isAnswered { passOn(context) }
    }

    private func passOn(_ context: ChannelHandlerContext) {
        guard let timer = timer.take() else { return }
        timer.cancel()
        context.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
    }

    package func channelInactive(context: ChannelHandlerContext) {
        timer.take()?.cancel()
        context.fireChannelInactive()
    }

    package func handlerRemoved(context: ChannelHandlerContext) { timer.take()?.cancel() }
}

/// Finds the answer to our ping among the frames of an HTTP/2 client: RFC 9113, sections 4.1, 6.7.
struct PingReader {
    static let mark: [UInt8] = Array("noria go".utf8)

    /// Of the preface, then of each frame's payload.
    private var left = 24
    private var header: [UInt8] = []
    private var payload: [UInt8] = []
    private var isAcknowledgement = false

    /// Whether it has come, or had, with these bytes.
    mutating func read(_ bytes: some RandomAccessCollection<UInt8>) -> Bool {
        var isFound = false
        var bytes = bytes[...]
        while !bytes.isEmpty {
            if left > 0 {
                let count = min(left, bytes.count)
                if isAcknowledgement { payload += bytes.prefix(count) }
                left -= count
                bytes = bytes.dropFirst(count)
                if left == 0, isAcknowledgement, payload == Self.mark { isFound = true }
            } else {
                let count = min(9 - header.count, bytes.count)
                header += bytes.prefix(count)
                bytes = bytes.dropFirst(count)
                guard header.count == 9 else { break }
                left = Int(header[0]) << 16 | Int(header[1]) << 8 | Int(header[2])
                isAcknowledgement = header[3] == 6 && header[4] & 1 == 1 && left == 8
                header.removeAll(keepingCapacity: true)
                payload.removeAll(keepingCapacity: true)
            }
        }
        return isFound
    }
}
#endif
