// SPDX-License-Identifier: Apache-2.0
#if NIO
internal import NIOCore

/// What a channel has taken and the kernel has not.
///
/// Small writes of one flush are gathered into one piece of memory, which goes out with one call;
/// a large one goes out from where it lies. Loop thread only.
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
    /// The piece under way.
    private var piece: (start: UnsafeRawPointer, count: Int)?
    private var owner: Unmanaged<AnyObject>?

    private static let gatherByteCount = 16_384

    init() { gathered = .allocate(byteCount: 1024, alignment: 16) }

    deinit {
        gathered.deallocate()
        owner?.release()
    }

    var isEmpty: Bool { writes.isEmpty }
    var hasFlushed: Bool { flushedCount > 0 }

    mutating func append(_ buffer: ByteBuffer, _ promise: EventLoopPromise<Void>?) {
        byteCount += buffer.readableBytes
        writes.append(Write(buffer: buffer, promise: promise))
    }

    mutating func markFlushed() { flushedCount = writes.count }

    /// What the kernel is to send next; the memory stays until `sent`.
    mutating func next() -> (start: UnsafeRawPointer, count: Int)? {
        if let piece { return piece }
        guard flushedCount > 0 else { return nil }
        let first = writes[writes.startIndex].buffer
        if flushedCount == 1 || first.readableBytes >= Self.gatherByteCount {
            // SAFETY: the storage is retained until the piece has been sent.
            first.withUnsafeReadableBytesWithStorageManagement { bytes, storage in
                owner = storage.retain()
                // An empty write has no address of its own.
                piece = (
                    bytes.baseAddress ?? UnsafeRawPointer(gathered.baseAddress.unsafelyUnwrapped),
                    bytes.count
                )
            }
        } else {
            gather()
        }
        return piece
    }

    private mutating func gather() {
        var total = 0
        var index = writes.startIndex
        for _ in 0..<flushedCount {
            let count = writes[index].buffer.readableBytes
            if total > 0, total + count > Self.gatherByteCount { break }
            total += count
            index = writes.index(after: index)
        }
        if gathered.count < total {
            gathered.deallocate()
            gathered = .allocate(byteCount: total, alignment: 16)
        }
        var offset = 0
        index = writes.startIndex
        while offset < total {
            writes[index].buffer.withUnsafeReadableBytes { bytes in
                guard let start = bytes.baseAddress else { return }
                (gathered.baseAddress.unsafelyUnwrapped + offset).copyMemory(
                    from: start,
                    byteCount: bytes.count
                )
                offset += bytes.count
            }
            index = writes.index(after: index)
        }
        piece = (UnsafeRawPointer(gathered.baseAddress.unsafelyUnwrapped), total)
    }

    /// Counts what the kernel has taken of the piece: the promises of what is sent whole.
    ///
    /// They are told when this has returned: who is told may write, flush or close, which come here.
    mutating func sent(_ count: Int) -> [EventLoopPromise<Void>] {
        byteCount -= count
        if let (start, size) = piece {
            piece = count < size ? (start + count, size - count) : nil
            if piece == nil, let owner = owner.take() { owner.release() }
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
        if let owner = owner.take() { owner.release() }
        return promises
    }
}
#endif
