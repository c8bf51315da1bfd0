// SPDX-License-Identifier: Apache-2.0
#if NIO
internal import NIOCore
internal import NoriaEngine
internal import NoriaSystem

/// What a channel has taken and the kernel has not.
///
/// One call sends what was flushed: small writes are copied together, larger ones go out from where
/// they lie, up to `SendParts.capacity` of them. Loop thread only.
///
/// Until a send has ended the kernel may come back to the list and to the memory that it names. That
/// stays: a write is let go of by `sent` and `removeAll` alone, which come after the end, and what is
/// appended meanwhile, or moves the queue, moves no buffer's storage and no list.
struct PendingWrites: ~Copyable {
    private struct Write {
        var buffer: ByteBuffer
        var promise: EventLoopPromise<Void>?
    }

    private var writes = CircularBuffer<Write>(initialCapacity: 8)
    /// How many of them were flushed.
    private var flushedCount = 0
    private(set) var byteCount = 0
    private var gathered: UnsafeMutableRawBufferPointer
    private var piece: Piece?
    /// Made when it is needed: most channels flush little at a time.
    private lazy var parts = SendParts()

    /// What is under way, less what of it has been sent.
    private enum Piece {
        case memory(UnsafeRawPointer, count: Int)
        case parts
    }

    private static let gatherByteCount = 16_384

    init() { gathered = .allocate(byteCount: 1024, alignment: 16) }

    deinit { gathered.deallocate() }

    var isEmpty: Bool { writes.isEmpty }
    var hasFlushed: Bool { flushedCount > 0 }

    mutating func append(_ buffer: ByteBuffer, _ promise: EventLoopPromise<Void>?) {
        byteCount += buffer.readableBytes
        writes.append(Write(buffer: buffer, promise: promise))
    }

    mutating func markFlushed() { flushedCount = writes.count }

    /// What the kernel is to send next; it stays until `sent`.
    mutating func next(on fd: Int32) -> Submission? {
        if piece == nil {
            guard flushedCount > 0 else { return nil }
            piece = makePiece()
        }
        switch piece {
        case .memory(let start, let count): return .send(fd, start, count: count)
        case .parts: return .send(fd, parts)
        case nil: return nil
        }
    }

    private mutating func makePiece() -> Piece {
        let first = writes[writes.startIndex].buffer
        if flushedCount == 1 { return memory(of: first) }
        let total = flushedByteCount(upTo: Self.gatherByteCount)
        if total <= Self.gatherByteCount { return gather(total) }
        // A large one that the next could not join anyway, say 64 KiB of a file.
        parts.removeAll()
        var index = writes.startIndex
        for _ in 0..<min(flushedCount, SendParts.capacity) {
            // SAFETY: `writes` keeps the storage, which nobody else may change, until it is sent.
            writes[index].buffer.withUnsafeReadableBytes { parts.append($0) }
            index = writes.index(after: index)
        }
        return .parts
    }

    private func memory(of buffer: ByteBuffer) -> Piece {
        // SAFETY: as above. An empty write has no address of its own.
        buffer.withUnsafeReadableBytes { bytes in
            .memory(
                bytes.baseAddress ?? UnsafeRawPointer(gathered.baseAddress.unsafelyUnwrapped),
                count: bytes.count
            )
        }
    }

    /// How much was flushed; more than `limit` is counted no further.
    private func flushedByteCount(upTo limit: Int) -> Int {
        var total = 0
        var index = writes.startIndex
        for _ in 0..<flushedCount where total <= limit {
            total += writes[index].buffer.readableBytes
            index = writes.index(after: index)
        }
        return total
    }

    private mutating func gather(_ total: Int) -> Piece {
        if gathered.count < total {
            gathered.deallocate()
            gathered = .allocate(byteCount: total, alignment: 16)
        }
        let base = gathered.baseAddress.unsafelyUnwrapped
        var offset = 0
        var index = writes.startIndex
        for _ in 0..<flushedCount {
            // SAFETY: room was made for the bytes of all that was flushed.
            writes[index].buffer.withUnsafeReadableBytes { bytes in
                guard let start = bytes.baseAddress else { return }
                (base + offset).copyMemory(from: start, byteCount: bytes.count)
                offset += bytes.count
            }
            index = writes.index(after: index)
        }
        return .memory(UnsafeRawPointer(base), count: total)
    }

    /// Counts what the kernel has taken of the piece: the promises of what is sent whole.
    ///
    /// They are told when this has returned: who is told may write, flush or close, which come here.
    mutating func sent(_ count: Int) -> [EventLoopPromise<Void>] {
        byteCount -= count
        switch piece {
        case .memory(let start, let size):
            piece = count < size ? .memory(start + count, count: size - count) : nil
        case .parts:
            parts.removeFirst(byteCount: count)
            if parts.byteCount == 0 { piece = nil }
        case nil: break
        }
        var done: [EventLoopPromise<Void>] = []
        var left = count
        while flushedCount > 0 {
            let size = writes[writes.startIndex].buffer.readableBytes
            guard size <= left else {
                if left > 0 { writes[writes.startIndex].buffer.moveReaderIndex(forwardBy: left) }
                break
            }
            left -= size
            flushedCount -= 1
            if let promise = writes.removeFirst().promise { done.append(promise) }
            if left == 0, flushedCount > 0, writes[writes.startIndex].buffer.readableBytes > 0 {
                break
            }
        }
        return done
    }

    /// Lets go of what was not flushed, and takes all promises: what is left is sent for nobody.
    mutating func keepFlushed() -> [EventLoopPromise<Void>] {
        let promises = writes.compactMap(\.promise)
        while writes.count > flushedCount { byteCount -= writes.removeLast().buffer.readableBytes }
        for index in writes.indices { writes[index].promise = nil }
        return promises
    }

    /// Takes all that was not sent; the kernel must have let go of the piece.
    mutating func removeAll() -> [EventLoopPromise<Void>] {
        let promises = writes.compactMap(\.promise)
        writes.removeAll()
        (flushedCount, byteCount, piece) = (0, 0, nil)
        return promises
    }
}
#endif
