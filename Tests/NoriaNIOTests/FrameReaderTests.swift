// SPDX-License-Identifier: Apache-2.0
#if Hummingbird
import Testing

@testable import NoriaHummingbird

/// Where a request's head begins and ends in the bytes of an HTTP/2 connection.
@Suite("The reader of HTTP/2's frames")
struct FrameReaderTests {
    private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    /// (kind, flags, length): 4 SETTINGS, 6 PING, 1 HEADERS, 9 CONTINUATION, 0 DATA.
    private static func frame(_ kind: UInt8, _ flags: UInt8, _ count: Int) -> [UInt8] {
        [
            UInt8(count >> 16), UInt8(count >> 8 & 0xff), UInt8(count & 0xff), kind, flags, 0, 0, 0,
            1,
        ]
            + [UInt8](repeating: 1, count: count)
    }

    @Test("A connection is within its first head from its begin until that has ended")
    func firstHead() {
        var reader = FrameReader()
        #expect(reader.isWithinHead)
        for bytes in [Self.preface, Self.frame(4, 0, 18), Self.frame(6, 0, 8)] {
            reader.read(bytes)
            #expect(reader.isWithinHead && reader.headCount == 0)
        }
        reader.read(Self.frame(1, 4, 300))
        #expect(!reader.isWithinHead && reader.headCount == 1)
    }

    @Test("Later frames begin a head only where they are one, or may become one")
    func laterFrames() {
        var reader = FrameReader()
        reader.read(Self.preface + Self.frame(1, 4, 10))
        for other in [Self.frame(0, 0, 70_000), Self.frame(6, 1, 8), Self.frame(4, 1, 0)] {
            reader.read(other)
            #expect(!reader.isWithinHead)
            // Its payload may take long: it is no head.
            reader.read(other.prefix(9))
            #expect(!reader.isWithinHead)
            reader.read(other.dropFirst(9))
            #expect(!reader.isWithinHead)
        }
        let begun = reader.beginCount
        reader.read([0])
        #expect(reader.isWithinHead && reader.beginCount == begun + 1)
        reader.read(Self.frame(1, 0, 5).dropFirst())
        #expect(reader.isWithinHead && reader.headCount == 1)
        reader.read(Self.frame(9, 0, 5))
        #expect(reader.isWithinHead && reader.beginCount == begun + 1)
        reader.read(Self.frame(9, 4, 0))
        #expect(!reader.isWithinHead && reader.headCount == 2)
    }

    @Test("Heads that touch are told apart, and however the bytes are cut the result is the same")
    func cuts() {
        let frames = [
            Self.frame(4, 0, 6), Self.frame(1, 4, 7), Self.frame(1, 5, 0), Self.frame(0, 1, 3),
            Self.frame(1, 0, 4), Self.frame(9, 0, 0), Self.frame(9, 4, 2), Self.frame(6, 0, 8),
            Self.frame(1, 0, 2),
        ]
        let bytes = Self.preface + frames.joined()
        var whole = FrameReader()
        whole.read(bytes)
        #expect(whole.headCount == 3 && whole.isWithinHead)
        for size in 1...bytes.count {
            var reader = FrameReader()
            for start in stride(from: 0, to: bytes.count, by: size) {
                reader.read(bytes[start..<min(start + size, bytes.count)])
            }
            #expect(reader.headCount == 3 && reader.isWithinHead, "\(size)")
        }
        // A head that ends where the next has begun is not the same head any more.
        var reader = FrameReader()
        reader.read(Self.preface + Self.frame(1, 4, 7) + [0])
        let begun = reader.beginCount
        reader.read(Self.frame(1, 4, 7).dropFirst() + [0])
        #expect(reader.isWithinHead && reader.beginCount > begun)
    }
}
#endif
