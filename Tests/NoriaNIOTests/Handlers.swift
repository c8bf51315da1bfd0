// SPDX-License-Identifier: Apache-2.0
#if NIO
import NIOCore
import NIOHTTP1
import TestSupport

/// Writes down what it is told, and echoes.
final class Recorder: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let record: Locked<[String]>

    init(_ record: Locked<[String]>) { self.record = record }

    private func note(_ text: String) { record.withLock { $0.append(text) } }

    func handlerAdded(context: ChannelHandlerContext) {
        note("added")
        let record = record
        context.channel.closeFuture.whenSuccess { record.withLock { $0.append("closed") } }
    }

    func handlerRemoved(context: ChannelHandlerContext) { note("removed") }
    func channelRegistered(context: ChannelHandlerContext) { note("registered") }
    func channelUnregistered(context: ChannelHandlerContext) { note("unregistered") }
    func channelActive(context: ChannelHandlerContext) { note("active") }
    func channelInactive(context: ChannelHandlerContext) { note("inactive") }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        note("read \(unwrapInboundIn(data).readableBytes)")
        let record = record
        context.writeAndFlush(data).whenSuccess { record.withLock { $0.append("wrote") } }
    }

    func channelReadComplete(context: ChannelHandlerContext) { note("read complete") }
}

/// Echoes, and reads no more while too much waits.
final class BackPressureEcho: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let changes: Locked<[Bool]>
    private var isHeldBack = false

    init(_ changes: Locked<[Bool]>) { self.changes = changes }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        context.writeAndFlush(data, promise: nil)
    }

    func read(context: ChannelHandlerContext) {
        if context.channel.isWritable { context.read() } else { isHeldBack = true }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        let isWritable = context.channel.isWritable
        changes.withLock { $0.append(isWritable) }
        guard isWritable, isHeldBack else { return }
        isHeldBack = false
        context.read()
    }
}

/// Says how much came, when the peer has ended.
final class AnswersAtEnd: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var count = 0

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        count += unwrapInboundIn(data).readableBytes
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case ChannelEvent.inputClosed? = event as? ChannelEvent else { return }
        let text = context.channel.allocator.buffer(string: "\(count) bytes, then the end")
        context.write(wrapOutboundOut(text), promise: nil)
        context.flush()
        context.close(mode: .output, promise: nil)
    }
}

/// Sends each line back by itself.
final class Lines: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var rest = ByteBuffer()

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        rest.writeBuffer(&bytes)
        while let end = rest.readableBytesView.firstIndex(of: 10) {
            let count = end - rest.readerIndex + 1
            guard let line = rest.readSlice(length: count) else { return }
            context.write(wrapOutboundOut(line), promise: nil)
        }
        context.flush()
    }
}

/// Echoes, and says good-bye when the server ends.
final class Quiesces: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        context.writeAndFlush(data, promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event is ChannelShouldQuiesceEvent else { return }
        let bytes = context.channel.allocator.buffer(string: "bye")
        context.write(wrapOutboundOut(bytes), promise: nil)
        context.flush()
        context.close(mode: .output, promise: nil)
    }
}

/// Goes on from within what it is told: writes and flushes when a write is done, and closes then.
final class Chains: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { write(context, 0) }

    private func write(_ context: ChannelHandlerContext, _ number: Int) {
        let text = context.channel.allocator.buffer(string: "\(number) ")
        // Several of one flush, of which the first tells.
        let first = context.write(wrapOutboundOut(text))
        context.write(wrapOutboundOut(text), promise: nil)
        context.flush()
        first.assumeIsolated().whenSuccess {
            if number < 20 { self.write(context, number + 1) } else { context.close(promise: nil) }
        }
    }
}

/// Closes at the first byte, behind what it has flushed.
final class LastWord: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let text = context.channel.allocator.buffer(string: "bye")
        context.writeAndFlush(wrapOutboundOut(text), promise: nil)
        context.close(promise: nil)
    }
}

/// Answers each request with five bytes.
final class Hello: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .end = unwrapInboundIn(data) else { return }
        let head = HTTPResponseHead(
            version: .http1_1,
            status: .ok,
            headers: ["content-length": "5"]
        )
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        let body = context.channel.allocator.buffer(string: "hello")
        context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }
}
#endif
