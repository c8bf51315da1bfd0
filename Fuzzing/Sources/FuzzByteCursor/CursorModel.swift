// SPDX-License-Identifier: Apache-2.0

/// What `ByteCursor` says it does, over an array and an index, slow and plain.
struct CursorModel {
    private let content: [UInt8]
    private(set) var offset = 0

    init(_ content: [UInt8]) { self.content = content }

    var rest: ArraySlice<UInt8> { content.dropFirst(offset) }

    /// The count that an operand stands for: itself, or one at which arithmetic likes to fail.
    func count(_ operand: UInt8) -> Int {
        switch operand {
        case 255: -1
        case 254: .min
        case 253: .max
        case 252: .max - offset
        case 251: .max - offset &+ 1
        case 250: -offset
        case 249: -offset - 1
        case 248: rest.count
        case 247: rest.count + 1
        case 246: Int(UInt32.max) + 1
        default: Int(operand)
        }
    }

    mutating func readBytes(_ count: Int) -> [UInt8]? {
        guard count >= 0 else { return nil }
        let taken = Array(rest.prefix(count))
        guard taken.count == count else { return nil }
        offset += count
        return taken
    }

    mutating func readBytes(upTo delimiter: UInt8) -> [UInt8]? {
        guard let end = rest.firstIndex(of: delimiter) else { return nil }
        let taken = Array(content[offset..<end])
        offset = end + 1
        return taken
    }

    mutating func readInteger<Integer: FixedWidthInteger>(_ type: Integer.Type) -> Integer? {
        guard let bytes = readBytes(Integer.bitWidth / 8) else { return nil }
        return Integer(truncatingIfNeeded: bytes.reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
    }

    mutating func readString(byteCount: Int) -> String? {
        readBytes(byteCount).map { String(decoding: $0, as: UTF8.self) }
    }
}
