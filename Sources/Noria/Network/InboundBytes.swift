// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine

/// The bytes that the peer sends, as they come, read by request: nothing is read ahead.
///
/// One task reads at a time. Cancelling it ends the wait with `CancellationError`, never with the
/// end of the stream, and no byte is lost.
public struct InboundBytes: AsyncSequence, Sendable {
    /// A chunk as it came from the kernel: at least one byte, at most 64 KiB.
    public typealias Element = [UInt8]

    let channel: StreamChannel

    /// Waits for the next chunk; nil when the peer has ended its direction, or a drain has.
    ///
    /// - Throws: `NetworkError` (`.reset`, `.closed`, `.alreadyReading`), or `CancellationError`.
    public func next() async throws -> [UInt8]? {
        if !channel.unread.isEmpty { return channel.unread.take(channel.unread.count) }
        guard let completion = try await channel.receive() else { return nil }
        let engine = channel.loop.engine
        let chunk = [UInt8](engine.bytes(of: completion))
        if let buffer = completion.buffer { engine.giveBack(buffer) }
        return chunk
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
