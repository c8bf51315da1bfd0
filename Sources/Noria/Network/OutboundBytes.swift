// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem
internal import Synchronization

/// The way to the peer: writes go out in order, those of one turn together.
///
/// Any thread; off the connection's loop a form that waits costs a post there and one back.
/// Every form throws `NetworkError` (`.reset`, `.closed`) when nothing can be sent any more.
public struct OutboundBytes: Sendable {
    let channel: StreamChannel

    /// Takes bytes to send, and waits while more than the high mark is unsent.
    ///
    /// Returning means taken, not received. Cancelled while it waits it throws
    /// `CancellationError`; the bytes are taken all the same.
    public func write(_ bytes: some Collection<UInt8>) async throws {
        guard channel.loop.isCurrent else { return try await writeElsewhere([UInt8](bytes)) }
        try append(bytes)
        try await waitForMark()
    }

    /// Takes text to send, as UTF-8; otherwise as `write` of bytes.
    public func write(_ text: some StringProtocol) async throws {
        guard channel.loop.isCurrent else { return try await writeElsewhere([UInt8](text.utf8)) }
        try append(text.utf8)
        try await waitForMark()
    }

    /// Takes lent bytes, which are copied before it returns or waits; else as `write` of bytes.
    public func write(_ bytes: RawSpan) async throws {
        guard channel.loop.isCurrent else {
            return try await writeElsewhere(bytes.withUnsafeBytes { [UInt8]($0) })
        }
        try append(bytes)
        try await waitForMark()
    }

    private func writeElsewhere(_ bytes: [UInt8]) async throws {
        try await channel.loop.bring { try await self.write(bytes) }
    }

    /// Sends all that `inbound` brings until its end; returns the number of bytes.
    ///
    /// This is the fastest form: the bytes go out from the buffer that they came in, and while all
    /// goes well the task is not even woken. Waits while more than the high mark is unsent, and
    /// does not read meanwhile. Throws what reading throws, too.
    @discardableResult
    public func write(contentsOf inbound: InboundBytes) async throws -> Int {
        let source = inbound.channel
        guard source.loop === channel.loop else {
            return try await write(contentsOfDistant: inbound)
        }
        guard channel.loop.isHome else { return try await writeElsewhere(contentsOf: inbound) }
        var count = source.unread.isEmpty ? 0 : try await writeUnread(of: source)
        let before = source.forwardedByteCount
        while let completion = try await source.receive(forwardingTo: channel) {
            count &+= Int(completion.result)
            try forward(completion)
            try await waitForMark()
        }
        return count + source.forwardedByteCount - before
    }

    // What is rare stands apart: this frame lives as long as an idle connection, and without it
    // fits in a task's first kilobytes.

    @inline(never)
    private func writeElsewhere(contentsOf inbound: InboundBytes) async throws -> Int {
        try await channel.loop.bring { try await self.write(contentsOf: inbound) }
    }

    @inline(never)
    private func writeUnread(of source: StreamChannel) async throws -> Int {
        let rest = source.unread.takeAll()
        try await write(rest)
        return rest.count
    }

    @inline(never)
    private func forward(_ completion: Completion) throws { try channel.forward(completion) }

    /// The same from a connection on another loop: chunk by chunk.
    private func write(contentsOfDistant inbound: InboundBytes) async throws -> Int {
        var count = 0
        while let chunk = try await inbound.next() {
            try await write(chunk)
            count += chunk.count
        }
        return count
    }

    /// Sends all that a sequence of byte collections brings; returns the number of bytes.
    @discardableResult
    public func write<Source: AsyncSequence>(
        contentsOf source: Source
    ) async throws -> Int where Source.Element: Collection<UInt8> {
        var count = 0
        for try await bytes in source {
            try await write(bytes)
            count += bytes.count
        }
        return count
    }

    /// Takes bytes to send without ever waiting.
    ///
    /// Any thread; calls of one thread keep their order.
    ///
    /// - Throws: `.outboundFull` when more than the hard limit would be unsent, and then takes
    ///   nothing; from other threads than the loop's a full stream is found out later and reset.
    public func enqueue(_ bytes: some Collection<UInt8>) throws(NetworkError) {
        guard channel.loop.isCurrent else { return post([UInt8](bytes)) }
        try checkRoom(bytes.count)
        try append(bytes)
    }

    /// Takes text to send without ever waiting: see `enqueue` of bytes.
    public func enqueue(_ text: some StringProtocol) throws(NetworkError) {
        try enqueue(text.utf8)
    }

    /// Takes lent bytes to send without ever waiting: see `enqueue` of bytes.
    public func enqueue(_ bytes: RawSpan) throws(NetworkError) {
        guard channel.loop.isCurrent else {
            return post(bytes.withUnsafeBytes { [UInt8]($0) })
        }
        try checkRoom(bytes.byteCount)
        try append(bytes)
    }

    /// Waits until the kernel has taken everything.
    public func flush() async throws {
        guard channel.loop.isHome else {
            return try await channel.loop.bring { try await self.flush() }
        }
        channel.flushNow()
        try await channel.waitUntilUnsent(atMost: 0)
    }

    /// Ends this direction after what was written: the peer reads the end.
    ///
    /// Whoever writes from its call on is told that the stream is closed. Cancelled it throws
    /// `CancellationError`, and the end goes out with the close.
    public func finish() async throws {
        guard channel.loop.isHome else {
            return try await channel.loop.bring { try await self.finish() }
        }
        // Refused first, or one who writes without end would keep it from its end.
        channel.isFinishing = true
        try await flush()
        channel.finishOutbound()
    }

    /// The bytes that were taken and that the kernel does not have yet.
    ///
    /// Any thread; off the connection's loop it is the number at the end of its last turn.
    public var unsentByteCount: Int {
        guard channel.loop.isCurrent else {
            return channel.publishedUnsentByteCount.load(ordering: .relaxed)
        }
        return channel.unsentByteCount
    }

    private func append(_ bytes: some Collection<UInt8>) throws(NetworkError) {
        try channel.checkOutbound()
        let done: Void? = bytes.withContiguousStorageIfAvailable {
            channel.append(UnsafeRawBufferPointer($0))
        }
        if done == nil { [UInt8](bytes).withUnsafeBytes { channel.append($0) } }
    }

    private func append(_ bytes: RawSpan) throws(NetworkError) {
        try channel.checkOutbound()
        bytes.withUnsafeBytes { channel.append($0) }
    }

    private func checkRoom(_ byteCount: Int) throws(NetworkError) {
        let limit = channel.limits.outboundByteCountLimit
        guard channel.bufferedByteCount + byteCount <= limit else {
            throw channel.failure(.outboundFull, "write to")
        }
    }

    private func post(_ bytes: [UInt8]) {
        channel.loop.post {
            // The one who wrote is gone: a peer that takes nothing is let go, as it would be by
            // a caller on the loop.
            do throws(NetworkError) { try enqueue(bytes) } catch { channel.abort() }
        }
    }

    @inline(never)
    private func waitForMark() async throws {
        guard channel.unsentByteCount > channel.limits.highMarkByteCount else { return }
        guard channel.loop.isHome else {
            return try await channel.loop.bring { try await self.waitForMark() }
        }
        channel.flushNow()
        // A peer that takes everything at once must not keep the others from their turn.
        channel.loop.countOperation()
        await channel.loop.standBackWhenSpent()
        guard channel.unsentByteCount > channel.limits.highMarkByteCount else { return }
        try await channel.waitUntilUnsent(atMost: channel.limits.lowMarkByteCount)
    }
}
