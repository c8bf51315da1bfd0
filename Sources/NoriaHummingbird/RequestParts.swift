// SPDX-License-Identifier: Apache-2.0
#if Hummingbird
internal import HTTPTypes
internal import HummingbirdCore
internal import NIOCore
internal import NoriaSystem

/// What a connection has received and its task has not taken: parts of requests, in order.
///
/// The loop puts in; whatever executor a handler has gone to takes out. One waits at a time: the
/// connection's task for a head, or a handler for a piece of the body. Cancellation against the wait
/// of a body's reader: the handler finds the waiter and resumes it, or comes before it is there, and
/// then the waiter, once in, sees that its task is cancelled and takes itself back.
final class RequestParts: Sendable {
    enum Part: Sendable {
        case head(HTTPRequest)
        case body(ByteBuffer)
        case end
    }

    private typealias Waiter = CheckedContinuation<Part?, any Error>

    private struct State {
        var parts = CircularBuffer<Part>(initialCapacity: 4)
        var byteCount = 0
        /// No more come behind the parts: nil in it, or why.
        var end: (any Error)??
        var waiter: Waiter?
        /// The last request whose head was taken, while its body may be read.
        var reader: Int?
        var headCount = 0
        var isReadHeld = false
        var readAgain: (@Sendable () -> Void)?

        var isFull: Bool {
            byteCount >= RequestParts.byteLimit || parts.count >= RequestParts.partLimit
        }

        /// Notes who reads from now on.
        mutating func noteTaken(_ part: Part) {
            guard case .head = part else { return }
            headCount += 1
            reader = headCount
        }

        /// The next part, or the end; nil when it must be waited for.
        ///
        /// When the connection's task asks, for nobody's body, the last one has had its readers.
        mutating func take(for reader: Int?) -> Result<Part?, any Error>? {
            guard reader == nil || reader == self.reader else { return .success(nil) }
            self.reader = reader
            if let part = parts.popFirst() {
                if case .body(let bytes) = part { byteCount -= bytes.readableBytes }
                noteTaken(part)
                return .success(part)
            }
            guard let end else { return nil }
            if let error = end { return .failure(error) }
            return .success(nil)
        }

        /// What is to be called, once, now that there is room.
        mutating func takeReadAgain() -> (@Sendable () -> Void)? {
            guard isReadHeld, !isFull else { return nil }
            isReadHeld = false
            return readAgain
        }
    }

    /// What waits before the connection is read no further: a channel's usual write mark, and more
    /// parts than clients pipeline.
    private static let byteLimit = 65_536
    private static let partLimit = 256

    private let state = Guarded(State())

    /// Sets what reads again when there is room; any thread calls it.
    func onRoom(_ readAgain: @escaping @Sendable () -> Void) {
        state.withLock { $0.readAgain = readAgain }
    }

    // MARK: The loop's side

    func receive(_ part: Part) {
        let waiter = state.withLock { state -> Waiter? in
            guard state.end == nil else { return nil }
            if let waiter = state.waiter.take() {
                state.noteTaken(part)
                return waiter
            }
            if case .body(let bytes) = part { state.byteCount += bytes.readableBytes }
            state.parts.append(part)
            return nil
        }
        waiter?.resume(returning: part)
    }

    /// Whether there is room for more; if not, `readAgain` is called when there is.
    func mayRead() -> Bool {
        state.withLock { state in
            state.isReadHeld = state.isFull
            return !state.isReadHeld
        }
    }

    /// Ends it behind what is there.
    func finish(_ error: (any Error)?) {
        let waiter = state.withLock { state -> Waiter? in
            guard state.end == nil else { return nil }
            state.end = .some(error)
            return state.waiter.take()
        }
        if let error { waiter?.resume(throwing: error) } else { waiter?.resume(returning: nil) }
    }

    // MARK: The task's side

    /// The next request's head, or nil at the end; what is left of the request before is dropped.
    func nextHead() async throws -> HTTPRequest? {
        while let part = try await next(for: nil) {
            if case .head(let head) = part { return head }
        }
        return nil
    }

    /// The body of the request whose head was taken last: bytes if it is here whole, else a stream.
    func body() -> RequestBody {
        let (whole, reader) = state.withLock { state -> (ByteBuffer?, Int?) in
            var parts = state.parts.makeIterator()
            switch parts.next() {
            case .end: return (ByteBuffer(), nil)
            case .body(let bytes):
                guard case .end = parts.next() else { return (nil, state.reader) }
                return (bytes, nil)
            default: return (nil, state.reader)
            }
        }
        if let whole { return RequestBody(buffer: whole) }
        return RequestBody(asyncSequence: Body(parts: self, reader: reader ?? 0))
    }

    /// `reader` is a request's number, or nil for the connection's task.
    private func next(for reader: Int?) async throws -> Part? {
        let (answer, readAgain) = state.withLock { ($0.take(for: reader), $0.takeReadAgain()) }
        readAgain?()
        if let answer { return try answer.get() }
        return try await withCheckedThrowingContinuation { wait($0, for: reader) }
    }

    private func wait(_ waiter: Waiter, for reader: Int?) {
        let (answer, displaced) = state.withLock { state -> (Result<Part?, any Error>?, Waiter?) in
            if let answer = state.take(for: reader) { return (answer, nil) }
            defer { state.waiter = waiter }
            return (nil, state.waiter)
        }
        displaced?.resume(throwing: RequestBodyError.notItsReader)
        if let answer { return waiter.resume(with: answer) }
        if let reader, Task.isCancelled { cancel(reader) }
    }

    /// A piece of the body of request `reader`, nil at its end or when it is answered.
    fileprivate func nextPiece(for reader: Int) async throws -> ByteBuffer? {
        let part = try await withTaskCancellationHandler {
            try await next(for: reader)
        } onCancel: {
            cancel(reader)
        }
        guard case .body(let bytes) = part else { return nil }
        return bytes
    }

    private func cancel(_ reader: Int) {
        let waiter = state.withLock { $0.reader == reader ? $0.waiter.take() : nil }
        waiter?.resume(throwing: CancellationError())
    }
}

/// The body of one request, as it comes.
private struct Body: AsyncSequence, Sendable {
    let parts: RequestParts
    let reader: Int

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(parts: parts, reader: reader) }

    struct AsyncIterator: AsyncIteratorProtocol {
        let parts: RequestParts
        let reader: Int
        var hasEnded = false

        mutating func next() async throws -> ByteBuffer? {
            guard !hasEnded else { return nil }
            guard let piece = try await parts.nextPiece(for: reader) else {
                hasEnded = true
                return nil
            }
            return piece
        }
    }
}

/// A request's body was read by a task that may not.
enum RequestBodyError: Error, CustomStringConvertible {
    case notItsReader

    var description: String {
        "a request's body was taken from the task that read it: another task reads it, or the "
            + "request is answered; read it in one task, before the handler returns"
    }
}
#endif
