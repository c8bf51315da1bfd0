// SPDX-License-Identifier: Apache-2.0
#if NIO
import NIOCore
import NIOHTTP1
import NIOWebSocket
import Synchronization

/// `/` says hello, `/bytes/N` sends N bytes, and a body that is posted is counted and summed.
final class Answers: ChannelDuplexHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    private var path = "/"
    private var (count, sum): (Int, UInt32) = (0, 0)
    /// What of a long answer has not been written.
    private var left = 0
    private var position = 0
    private var isFilling = false

    private static let pieceByteCount = 65_536
    /// A prime number of bytes, so that a piece that is lost or comes twice shows.
    private static let pattern = (0..<pieceByteCount + 251).map { UInt8($0 % 251) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            path = head.uri
            (count, sum) = (0, 0)
        case .body(let bytes):
            count += bytes.readableBytes
            bytes.withUnsafeReadableBytes { bytes in
                for byte in bytes { sum = sum &* 31 &+ UInt32(byte) }
            }
        case .end:
            if path.hasPrefix("/bytes/"), let count = Int(path.dropFirst(7)) {
                begin(context, byteCount: count)
                (left, position) = (count, 0)
                fill(context)
            } else {
                let text = path == "/count" ? "\(count) \(sum)\n" : "hello"
                begin(context, byteCount: text.utf8.count)
                let body = context.channel.allocator.buffer(string: text)
                context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
                context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
            }
        }
    }

    private func begin(_ context: ChannelHandlerContext, byteCount: Int) {
        let headers = HTTPHeaders([("content-length", "\(byteCount)")])
        let head = HTTPResponseHead(version: .http1_1, status: .ok, headers: headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
    }

    /// Writes while the channel takes it; a flush may tell of room for more, from within.
    private func fill(_ context: ChannelHandlerContext) {
        guard !isFilling else { return }
        isFilling = true
        defer { isFilling = false }
        while left > 0, context.channel.isWritable {
            let size = min(left, Self.pieceByteCount)
            let start = position % 251
            let body = context.channel.allocator.buffer(
                bytes: Self.pattern[start..<start + size]
            )
            left -= size
            position += size
            context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
            if left == 0 { context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil) }
        }
    }

    /// A request that is none: SwiftNIO has answered it with 400, and leaves the close to us.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.fireErrorCaught(error)
        context.close(promise: nil)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        fill(context)
        context.fireChannelWritabilityChanged()
    }
}

/// Sends texts and bytes back, answers pings, and closes when asked to.
final class WebSocketEcho: ChannelInboundHandler {
    typealias InboundIn = WebSocketFrame
    typealias OutboundOut = WebSocketFrame

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = unwrapInboundIn(data)
        let opcode: WebSocketOpcode
        switch frame.opcode {
        case .ping: opcode = .pong
        case .pong: return
        default: opcode = frame.opcode
        }
        let answer = WebSocketFrame(fin: frame.fin, opcode: opcode, data: frame.unmaskedData)
        let isLast = opcode == .connectionClose
        let written = context.writeAndFlush(wrapOutboundOut(answer))
        if isLast { written.assumeIsolated().whenComplete { _ in context.close(promise: nil) } }
    }
}

/// A value behind a lock.
final class LockedValue<Value: Sendable>: Sendable {
    private let state: Mutex<Value>
    init(_ value: Value) { state = Mutex(value) }
    var value: Value {
        get { state.withLock { $0 } }
        set { state.withLock { $0 = newValue } }
    }
}
#endif
