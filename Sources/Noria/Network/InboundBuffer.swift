// SPDX-License-Identifier: Apache-2.0

/// Bytes that were received and not yet taken: what lies behind a line, or before its end.
struct InboundBuffer {
    private var bytes: [UInt8] = []
    private var offset = 0
    /// How far a search for a delimiter has come without finding it.
    private var searched = 0

    /// The capacity that is kept when the buffer is empty: one receive's worth.
    private static let keptByteCount = 131_072

    var count: Int { bytes.count &- offset }
    var isEmpty: Bool { bytes.count == offset }

    mutating func append(_ more: UnsafeRawBufferPointer) {
        if offset > 0, offset >= bytes.count / 2 {
            bytes.removeFirst(offset)
            searched -= offset
            offset = 0
        }
        bytes.append(contentsOf: more)
    }

    /// Lends the bytes.
    func withBytes<Value>(_ body: (UnsafeRawBufferPointer) throws -> Value) rethrows -> Value {
        try bytes.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[offset...])) }
    }

    mutating func drop(_ count: Int) {
        offset += count
        searched = offset
        guard offset == bytes.count else { return }
        bytes.removeAll(keepingCapacity: bytes.capacity <= Self.keptByteCount)
        (offset, searched) = (0, 0)
    }

    /// Takes the first `count` bytes.
    mutating func take(_ count: Int) -> [UInt8] {
        let taken = Array(bytes[offset..<offset + count])
        drop(count)
        return taken
    }

    mutating func takeAll() -> [UInt8] { take(count) }

    /// Where the delimiter stands, counted from the first byte; what was searched once is not
    /// searched again.
    mutating func index(of delimiter: UInt8) -> Int? {
        let found = bytes.withUnsafeBufferPointer { buffer in
            buffer[searched...].firstIndex(of: delimiter)
        }
        guard let found else {
            searched = bytes.count
            return nil
        }
        return found - offset
    }

    /// Takes a line of `count` bytes and the line feed behind it; a carriage return before that
    /// belongs to the end, too.
    mutating func takeLine(_ count: Int) -> String {
        let line = bytes[offset..<offset + count]
        let text = String(decoding: line.last == 0x0d ? line.dropLast() : line, as: UTF8.self)
        drop(count + 1)
        return text
    }
}
