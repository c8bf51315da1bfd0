// SPDX-License-Identifier: Apache-2.0

/// Parses bytes that it is lent, front to back.
///
/// Running out of them ends the attempt, not the stream: `readFrame` tries again with more.
public struct ByteCursor: ~Copyable, ~Escapable {
    private let bytes: RawSpan
    /// How many bytes have been read.
    public private(set) var byteOffset = 0

    /// Thrown when more bytes are needed; `readFrame` catches it.
    struct NeedsMore: Error {}

    /// A cursor at the first of `bytes`.
    @_lifetime(copy bytes)
    public init(_ bytes: RawSpan) { self.bytes = bytes }

    /// How many bytes are left.
    public var remainingByteCount: Int { bytes.byteCount - byteOffset }

    /// The next bytes, `limit` at most, which stay where they are.
    func peek(_ limit: Int) -> [UInt8] {
        bytes.extracting(byteOffset..<byteOffset + min(limit, remainingByteCount))
            .withUnsafeBytes { Array($0) }
    }

    /// Reads a big-endian integer.
    ///
    /// - Throws: an error that `readFrame` understands, when the bytes don't suffice.
    public mutating func readInteger<Integer: FixedWidthInteger & BitwiseCopyable>(
        _ type: Integer.Type = Integer.self
    ) throws -> Integer {
        let start = try advance(MemoryLayout<Integer>.size)
        return Integer(
            bigEndian: bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: start, as: Integer.self)
        )
    }

    /// Reads `count` bytes, lent like the rest.
    ///
    /// - Throws: an error that `readFrame` understands, when the bytes don't suffice; a negative
    ///   count is taken as one that never will.
    @_lifetime(copy self)
    public mutating func readBytes(_ count: Int) throws -> RawSpan {
        let start = try advance(count)
        return bytes.extracting(start..<start + count)
    }

    /// Reads up to a delimiter, which is read and left out.
    ///
    /// - Throws: an error that `readFrame` understands, when there is none yet.
    @_lifetime(copy self)
    public mutating func readBytes(upTo delimiter: UInt8) throws -> RawSpan {
        var end = byteOffset
        while end < bytes.byteCount {
            if bytes.unsafeLoad(fromUncheckedByteOffset: end, as: UInt8.self) == delimiter {
                let start = byteOffset
                byteOffset = end + 1
                return bytes.extracting(start..<end)
            }
            end += 1
        }
        throw NeedsMore()
    }

    /// Reads text of `byteCount` bytes as UTF-8, repairing what is none.
    ///
    /// - Throws: an error that `readFrame` understands, when the bytes don't suffice.
    public mutating func readString(byteCount: Int) throws -> String {
        let span = try readBytes(byteCount)
        return span.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    }

    private mutating func advance(_ count: Int) throws -> Int {
        guard count >= 0, count <= remainingByteCount else { throw NeedsMore() }
        defer { byteOffset += count }
        return byteOffset
    }
}
