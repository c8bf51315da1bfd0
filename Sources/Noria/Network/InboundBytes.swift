// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import Synchronization

/// The bytes that the peer sends, as they come, read by request: nothing is read ahead.
///
/// One task reads at a time, from any thread; off the connection's loop each call costs a post
/// there and one back. Cancelling it ends the wait with `CancellationError`, never with the
/// end of the stream, and no byte is lost. Every form throws `NetworkError` (`.reset`, `.closed`,
/// `.alreadyReading`), or `CancellationError`.
public struct InboundBytes: AsyncSequence, Sendable {
    /// A chunk as it came from the kernel: at least one byte, at most 128 KiB.
    public typealias Element = [UInt8]

    let channel: StreamChannel

    /// Waits for the next chunk; nil when the peer has ended its direction, or a drain has.
    public func next() async throws -> [UInt8]? {
        guard channel.loop.isHome else {
            return try await channel.loop.bring { try await self.next() }
        }
        try channel.beginReading()
        defer { channel.isReading = false }
        if !channel.unread.isEmpty { return channel.unread.takeAll() }
        guard let completion = try await channel.receive() else { return nil }
        defer { channel.giveBack(completion) }
        return [UInt8](channel.engine.bytes(of: completion))
    }

    /// Lends the next chunk to `body`, without a copy; nil at the end.
    ///
    /// The body is synchronous, since the kernel's buffer must not be held while a task sleeps.
    /// Its bytes are taken, also when it throws.
    public func withNext<Value>(_ body: (RawSpan) throws -> Value) async throws -> Value? {
        guard channel.loop.isHome else {
            // The body stays with its task, so the bytes come to it.
            guard let chunk = try await next() else { return nil }
            return try body(chunk.span.bytes)
        }
        try channel.beginReading()
        defer { channel.isReading = false }
        if !channel.unread.isEmpty {
            defer { channel.unread.drop(channel.unread.count) }
            return try channel.unread.withBytes { try body(RawSpan(_unsafeBytes: $0)) }
        }
        guard let completion = try await channel.receive() else { return nil }
        defer { channel.giveBack(completion) }
        return try body(RawSpan(_unsafeBytes: channel.engine.bytes(of: completion)))
    }

    /// Waits for `count` bytes; nil when the stream ends before the first of them.
    ///
    /// - Throws: `.endedEarly` when it ends inside; as all forms do besides.
    public func read(exactly count: Int) async throws -> [UInt8]? {
        precondition(count >= 0, "a count of bytes is not negative")
        guard channel.loop.isHome else {
            return try await channel.loop.bring { try await self.read(exactly: count) }
        }
        try channel.beginReading()
        defer { channel.isReading = false }
        var began: UInt64?
        while channel.unread.count < count {
            channel.noteMessage(&began)
            guard try await fill(messageSince: began) else {
                if channel.unread.isEmpty { return nil }
                throw channel.failure(.endedEarly, "read from")
            }
        }
        return channel.unread.take(count)
    }

    /// Waits for the end and returns all that came before.
    ///
    /// - Throws: `.tooLong` when it is more than `limit` bytes; as all forms do besides.
    public func readAll(limit: Int) async throws -> [UInt8] {
        guard channel.loop.isHome else {
            return try await channel.loop.bring { try await self.readAll(limit: limit) }
        }
        try channel.beginReading()
        defer { channel.isReading = false }
        repeat {
            guard channel.unread.count <= limit else {
                throw channel.failure(.tooLong, "read from")
            }
        } while try await fill()
        return channel.unread.takeAll()
    }

    /// Waits for a line, without its line feed and a carriage return before that; nil at the end.
    ///
    /// The last line may lack its end. Bytes that are no UTF-8 are replaced.
    ///
    /// - Throws: `.tooLong` when `limit` bytes have no line feed; as all forms do besides.
    public func readLine(limit: Int = 65_536) async throws -> String? {
        guard channel.loop.isHome else {
            return try await channel.loop.bring { try await self.readLine(limit: limit) }
        }
        try channel.beginReading()
        defer { channel.isReading = false }
        var began: UInt64?
        while true {
            if let end = channel.unread.index(of: 0x0a) {
                guard end <= limit else { throw channel.failure(.tooLong, "read a line from") }
                return channel.unread.takeLine(end)
            }
            guard channel.unread.count <= limit else {
                throw channel.failure(.tooLong, "read a line from")
            }
            channel.noteMessage(&began)
            guard try await fill(messageSince: began) else {
                guard !channel.unread.isEmpty else { return nil }
                return String(decoding: channel.unread.takeAll(), as: UTF8.self)
            }
        }
    }

    /// The lines, one after the other: see `readLine`.
    public func lines(limit: Int = 65_536) -> Lines { Lines(inbound: self, limit: limit) }

    /// Waits for a frame that `parse` can read whole; nil when the stream ends between frames.
    ///
    /// `parse` is called again, from the frame's start, when more bytes have come; what it throws
    /// itself is thrown on, and its bytes stay unread. It parses in the kernel's buffer when the frame came in one piece.
    ///
    /// - Throws: `.tooLong` when `limit` bytes hold no frame, `.endedEarly` when the stream ends
    ///   inside one; as all forms do besides.
    public func readFrame<Frame>(
        limit: Int = 65_536,
        _ parse: (inout ByteCursor) throws -> Frame
    ) async throws -> Frame? {
        guard channel.loop.isHome else { return try await readFrameElsewhere(limit, parse) }
        try channel.beginReading()
        defer { channel.isReading = false }
        var began: UInt64?
        while true {
            if !channel.unread.isEmpty {
                let attempt = try channel.unread.withBytes { try Self.parse($0, parse) }
                if let (frame, byteCount) = attempt {
                    channel.unread.drop(byteCount)
                    return frame
                }
                guard channel.unread.count <= limit else {
                    throw channel.failure(.tooLong, "read a frame from")
                }
            }
            channel.noteMessage(&began)
            guard let completion = try await channel.receive(messageSince: began) else {
                if channel.unread.isEmpty { return nil }
                throw channel.failure(.endedEarly, "read a frame from")
            }
            defer { channel.giveBack(completion) }
            let bytes = channel.engine.bytes(of: completion)
            guard channel.unread.isEmpty else {
                channel.unread.append(bytes)
                continue
            }
            let attempt = Result { try Self.parse(bytes, parse) }
            var parsedByteCount = 0
            if case .success((_, let byteCount)?) = attempt { parsedByteCount = byteCount }
            channel.unread.append(UnsafeRawBufferPointer(rebasing: bytes[parsedByteCount...]))
            if let (frame, _) = try attempt.get() { return frame }
        }
    }

    /// As `readFrame`, for a task that runs elsewhere: the parser stays with it, so the bytes that
    /// are unread come to it, and go back.
    private func readFrameElsewhere<Frame>(
        _ limit: Int,
        _ parse: (inout ByteCursor) throws -> Frame
    ) async throws -> Frame? {
        let lent = LentBytes()
        var needsMore = false
        var began: UInt64?
        while true {
            let loan = try await channel.loop.bring { [needsMore, began] in
                try await self.lendUnread(lent, receiving: needsMore, messageSince: began)
            }
            guard let loan else { return nil }
            began = loan.began
            var bytes = lent.take()
            let attempt = Result { try bytes.withBytes { try Self.parse($0, parse) } }
            if case .success((_, let byteCount)?) = attempt { bytes.drop(byteCount) }
            needsMore = bytes.count <= limit
            lent.put(bytes)
            if case .success(nil) = attempt, needsMore { continue }
            await channel.loop.bring { self.takeBack(lent) }
            guard let (frame, _) = try attempt.get() else {
                throw channel.failure(.tooLong, "read a frame from")
            }
            return frame
        }
    }

    /// Lends what is unread to a reader on another thread, having received more first if it needs
    /// that, with when the message began; nil when the stream ended between frames.
    private func lendUnread(
        _ lent: LentBytes,
        receiving needsMore: Bool,
        messageSince began: UInt64?
    ) async throws -> Loan? {
        var began = began
        takeBack(lent)
        if needsMore || channel.unread.isEmpty {
            channel.noteMessage(&began)
            guard try await fill(messageSince: began) else {
                if channel.unread.isEmpty { return nil }
                throw channel.failure(.endedEarly, "read a frame from")
            }
        }
        lent.put(channel.unread)
        channel.unread = InboundBuffer()
        channel.isUnreadLent = true
        return Loan(began: began)
    }

    private struct Loan { let began: UInt64? }

    private func takeBack(_ lent: LentBytes) {
        guard channel.isUnreadLent else { return }
        channel.unread = lent.take()
        channel.isUnreadLent = false
    }

    private static func parse<Frame>(
        _ bytes: UnsafeRawBufferPointer,
        _ parse: (inout ByteCursor) throws -> Frame
    ) throws -> (frame: Frame, byteCount: Int)? {
        var cursor = ByteCursor(RawSpan(_unsafeBytes: bytes))
        do {
            let frame = try parse(&cursor)
            return (frame, cursor.byteOffset)
        } catch is ByteCursor.NeedsMore {
            return nil
        }
    }

    /// Receives once into `unread`; false at the end.
    ///
    /// Loop thread only.
    private func fill(messageSince began: UInt64? = nil) async throws -> Bool {
        guard let completion = try await channel.receive(messageSince: began) else { return false }
        channel.unread.append(channel.engine.bytes(of: completion))
        channel.giveBack(completion)
        return true
    }

    /// The iterator that `for try await` uses.
    public func makeAsyncIterator() -> Iterator { Iterator(inbound: self) }

    /// Reads chunk after chunk; a stream has one position, shared by all its iterators.
    public struct Iterator: AsyncIteratorProtocol {
        fileprivate let inbound: InboundBytes

        /// As `InboundBytes.next()`.
        public mutating func next() async throws -> [UInt8]? { try await inbound.next() }

        /// As `InboundBytes.next()`, for callers on an actor.
        public mutating func next(
            isolation actor: isolated (any Actor)?
        ) async throws(any Error) -> [UInt8]? {
            try await inbound.next()
        }
    }
}

/// Unread bytes on their way to a reader on another thread and back.
private final class LentBytes: Sendable {
    private let bytes = Mutex(InboundBuffer())

    /// The only reference to them, so that they are not copied when they grow.
    func take() -> InboundBuffer {
        bytes.withLock { bytes in
            defer { bytes = InboundBuffer() }
            return bytes
        }
    }

    func put(_ more: InboundBuffer) { bytes.withLock { $0 = more } }
}

/// The lines of a stream: see `InboundBytes.readLine`.
public struct Lines: AsyncSequence, Sendable {
    /// A line without its end.
    public typealias Element = String

    fileprivate let inbound: InboundBytes
    fileprivate let limit: Int

    /// The iterator that `for try await` uses.
    public func makeAsyncIterator() -> Iterator { Iterator(lines: self) }

    /// Reads line after line.
    public struct Iterator: AsyncIteratorProtocol {
        fileprivate let lines: Lines

        /// As `InboundBytes.readLine`.
        public mutating func next() async throws -> String? {
            try await lines.inbound.readLine(limit: lines.limit)
        }

        /// As `InboundBytes.readLine`, for callers on an actor.
        public mutating func next(
            isolation actor: isolated (any Actor)?
        ) async throws(any Error) -> String? {
            try await lines.inbound.readLine(limit: lines.limit)
        }
    }
}
