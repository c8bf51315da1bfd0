// SPDX-License-Identifier: Apache-2.0
#if Hummingbird
internal import HTTPTypes
internal import HummingbirdCore
internal import NIOCore
internal import NIOHTTP1
internal import NIOHTTPTypes
internal import NIOHTTPTypesHTTP1

/// One HTTP/1 connection: what it receives waits in `parts` for the connection's task, and what that
/// task answers goes out from here, with one flush.
///
/// Behind it stands `NIOAsyncChannel`'s handler, for Hummingbird's own loop over a connection. It is
/// shown the first head and the end of the input, and nothing between (decision 25).
///
/// Loop thread only.
final class HTTP1Connection: ChannelDuplexHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    let parts = RequestParts()
    private let timeout: HeaderTimeout?
    private var context: ChannelHandlerContext?
    private var hasShownHead = false
    private var requestsInProgress = 0
    private var closesAfterResponse = false
    /// Begun, and written with what follows.
    private var head: HTTPResponse?
    private var isFlushDue = false
    private var unflushedByteCount = 0
    private var writers: [CheckedContinuation<Void, Never>] = []

    init(_ timeout: HeaderTimeout?) { self.timeout = timeout }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        let loop = context.eventLoop
        let connection = NIOLoopBound(self, eventLoop: loop)
        parts.onRoom { loop.execute { connection.value.context?.read() } }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        end(nil)
        self.context = nil
    }

    // MARK: Requests

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): receive(head, context)
        case .body(let bytes): parts.receive(.body(bytes))
        case .end:
            timeout?.requestEnded()
            parts.receive(.end)
        }
    }

    private func receive(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        do {
            let head = try HTTPRequest(head, secure: false, splitCookie: false)
            timeout?.headCame()
            requestsInProgress += 1
            parts.receive(.head(head))
            guard !hasShownHead else { return }
            hasShownHead = true
            context.fireChannelRead(wrapInboundOut(.head(head)))
        } catch { errorCaught(context: context, error: error) }
    }

    func read(context: ChannelHandlerContext) { if parts.mayRead() { context.read() } }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        parts.finish(error)
        context.fireErrorCaught(error)
    }

    func channelInactive(context: ChannelHandlerContext) {
        end(nil)
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case is ChannelShouldQuiesceEvent:
            closesAfterResponse = true
            if requestsInProgress == 0 { context.close(promise: nil) }
        case ChannelEvent.inputClosed:
            parts.finish(nil)
            context.fireUserInboundEventTriggered(event)
        default: context.fireUserInboundEventTriggered(event)
        }
    }

    private func end(_ error: (any Error)?) {
        parts.finish(error)
        resumeWriters()
    }

    /// Tells Hummingbird's loop that nothing more comes.
    func endInput() { context?.fireUserInboundEventTriggered(ChannelEvent.inputClosed) }

    // MARK: Responses

    /// Holds a head back until its body's first piece, or its end.
    func begin(_ head: HTTPResponse) {
        writeHead()
        self.head = head
    }

    /// What is written before a flush, and before a writer lets others have the loop.
    ///
    /// A task that writes to a fast client never has to wait; neither the queue of a handler between,
    /// TLS say, which fills until the flush, nor the loop's other tasks may be left to that.
    private static let byteLimit = 65_536

    /// Writes a piece, flushed at the latest when the loop comes to its next job; whether the writer
    /// may go on at once.
    func write(_ bytes: ByteBuffer) throws -> Bool {
        guard let context, context.channel.isActive else { throw ChannelError.ioOnClosedChannel }
        writeHead()
        context.write(wrapOutboundOut(.body(.byteBuffer(bytes))), promise: nil)
        unflushedByteCount += bytes.readableBytes
        guard unflushedByteCount < Self.byteLimit else {
            flush()
            return false
        }
        if !isFlushDue {
            isFlushDue = true
            context.eventLoop.assumeIsolated().execute { if self.isFlushDue { self.flush() } }
        }
        return context.channel.isWritable
    }

    func finish(_ trailers: HTTPFields?) {
        guard let context else { return }
        writeHead()
        context.write(wrapOutboundOut(.end(trailers.map(HTTPHeaders.init))), promise: nil)
        flush()
        noteEnd(context)
    }

    private func writeHead() {
        guard let head = head.take() else { return }
        context?.write(wrapOutboundOut(.head(HTTPResponseHead(head))), promise: nil)
    }

    private func flush() {
        isFlushDue = false
        unflushedByteCount = 0
        context?.flush()
    }

    private func noteEnd(_ context: ChannelHandlerContext) {
        requestsInProgress -= 1
        if requestsInProgress == 0, closesAfterResponse { context.close(promise: nil) }
    }

    /// Has a writer go on when there is room, or the connection is gone.
    func noteWriter(_ writer: CheckedContinuation<Void, Never>) {
        guard let context, context.channel.isActive, !context.channel.isWritable else {
            return writer.resume()
        }
        flush()
        writers.append(writer)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { resumeWriters() }
        context.fireChannelWritabilityChanged()
    }

    private func resumeWriters() {
        for writer in writers { writer.resume() }
        writers = []
    }

    /// What Hummingbird's own loop writes: the answer to what is no request.
    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(let head):
            context.write(wrapOutboundOut(.head(HTTPResponseHead(head))), promise: promise)
        case .body(let bytes):
            context.write(wrapOutboundOut(.body(.byteBuffer(bytes))), promise: promise)
        case .end(let trailers):
            context.write(wrapOutboundOut(.end(trailers.map(HTTPHeaders.init))), promise: promise)
        }
    }
}

/// A connection, for its task and for handlers that have left its loop.
struct HTTP1Sender: ResponseBodyWriter, Sendable {
    private let loop: any EventLoop
    private let connection: NIOLoopBound<HTTP1Connection>
    let parts: RequestParts

    /// Of a channel that `HTTP1Child` has set up.
    init(_ channel: any Channel) async throws {
        loop = channel.eventLoop
        connection = try await loop.submit {
            NIOLoopBound(
                try channel.pipeline.syncOperations.handler(type: HTTP1Connection.self),
                eventLoop: channel.eventLoop
            )
        }.get()
        let connection = connection
        parts = try await loop.submit { connection.value.parts }.get()
    }

    private func onLoop<Result: Sendable>(
        _ body: @escaping @Sendable (HTTP1Connection) throws -> Result
    ) async throws -> Result {
        if loop.inEventLoop { return try body(connection.value) }
        return try await loop.submit { [connection] in try body(connection.value) }.get()
    }

    func begin(_ head: HTTPResponse) async throws { try await onLoop { $0.begin(head) } }

    func endInput() async throws { try await onLoop { $0.endInput() } }

    @concurrent
    func write(_ bytes: ByteBuffer) async throws {
        guard try await onLoop({ try $0.write(bytes) }) == false else { return }
        await withCheckedContinuation { continuation in
            loop.execute { [connection] in connection.value.noteWriter(continuation) }
        }
    }

    @concurrent
    consuming func finish(_ trailers: HTTPFields?) async throws {
        try await onLoop { $0.finish(trailers) }
    }
}
#endif
