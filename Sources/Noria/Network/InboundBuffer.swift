// SPDX-License-Identifier: Apache-2.0

/// Bytes that were received and not yet taken: what lies behind a line, or before its end.
struct InboundBuffer {
    private var bytes: [UInt8] = []
    private var offset = 0

    var count: Int { bytes.count - offset }
    var isEmpty: Bool { bytes.count == offset }

    mutating func append(_ more: UnsafeRawBufferPointer) {
        if offset > 0, offset == bytes.count {
            bytes.removeAll(keepingCapacity: true)
            offset = 0
        }
        bytes.append(contentsOf: more)
    }

    /// Takes the first `count` bytes.
    mutating func take(_ count: Int) -> [UInt8] {
        let taken = Array(bytes[offset..<offset + count])
        offset += count
        if offset == bytes.count {
            bytes.removeAll(keepingCapacity: bytes.capacity <= 65_536)
            offset = 0
        }
        return taken
    }
}
