// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem

/// The way to the peer: writes go out in order, those of one turn together.
public struct OutboundBytes: Sendable {
    let channel: StreamChannel

    /// Takes bytes to send, and waits while more than the high mark is unsent.
    ///
    /// Returning means taken, not received. Cancelled while it waits it throws
    /// `CancellationError`; the bytes are taken all the same.
    ///
    /// - Throws: `NetworkError` (`.reset`, `.closed`), or `CancellationError`.
    public func write(_ bytes: some Collection<UInt8>) async throws {
        try append(bytes)
        try await waitForMark()
    }

    /// Takes text to send, as UTF-8; otherwise as `write` of bytes.
    public func write(_ text: some StringProtocol) async throws {
        try append(text.utf8)
        try await waitForMark()
    }

    /// Sends all that `inbound` brings until its end; returns the number of bytes.
    ///
    /// This is the fastest form: the bytes go out from the buffer that they came in. Waits while
    /// more than the high mark is unsent, and does not read meanwhile.
    ///
    /// - Throws: `NetworkError` of either stream, or `CancellationError`.
    @discardableResult
    public func write(contentsOf inbound: InboundBytes) async throws -> Int {
        var count = 0
        let source = inbound.channel
        if !source.unread.isEmpty {
            let rest = source.unread.take(source.unread.count)
            try await write(rest)
            count += rest.count
        }
        let before = source.forwardedByteCount
        while let completion = try await source.receive(forwardingTo: channel) {
            count &+= Int(completion.result)
            try channel.forward(completion)
            if channel.unsentByteCount > channel.limits.highMarkByteCount {
                try await waitForMark()
            }
        }
        return count + source.forwardedByteCount - before
    }

    /// Waits until the kernel has taken everything.
    ///
    /// - Throws: `NetworkError`, or `CancellationError`.
    public func flush() async throws {
        channel.flushNow()
        try await channel.waitUntilUnsent(atMost: 0)
    }

    /// Ends this direction after what was written: the peer reads the end.
    ///
    /// - Throws: `NetworkError`, or `CancellationError`.
    public func finish() async throws {
        try await flush()
        try? Socket.shutDownWriting(channel.fd)
    }

    /// The bytes that were taken and that the kernel does not have yet.
    public var unsentByteCount: Int { channel.unsentByteCount }

    private func append(_ bytes: some Collection<UInt8>) throws(NetworkError) {
        let done: Void? = try bytes.withContiguousStorage { (storage) throws(NetworkError) in
            try channel.append(UnsafeRawBufferPointer(storage))
        }
        if done == nil { try append([UInt8](bytes)) }
    }

    private func waitForMark() async throws {
        guard channel.unsentByteCount > channel.limits.highMarkByteCount else { return }
        channel.flushNow()
        guard channel.unsentByteCount > channel.limits.highMarkByteCount else { return }
        try await channel.waitUntilUnsent(atMost: channel.limits.lowMarkByteCount)
    }
}

extension Collection<UInt8> {
    /// `withContiguousStorageIfAvailable`, with the error's type kept.
    fileprivate func withContiguousStorage<Value>(
        _ body: (UnsafeBufferPointer<UInt8>) throws(NetworkError) -> Value
    ) throws(NetworkError) -> Value? {
        let result = withContiguousStorageIfAvailable { storage in
            Result { () throws(NetworkError) in try body(storage) }
        }
        return try result?.get()
    }
}
