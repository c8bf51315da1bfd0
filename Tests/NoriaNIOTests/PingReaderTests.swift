// SPDX-License-Identifier: Apache-2.0
#if NIO
import Testing

@testable import NoriaNIO

/// The answer to a shutdown's ping, among an HTTP/2 client's frames.
@Suite("The reader of HTTP/2's ping")
struct PingReaderTests {
    private static func frame(_ kind: UInt8, _ flags: UInt8, _ payload: [UInt8]) -> [UInt8] {
        [0, UInt8(payload.count >> 8), UInt8(payload.count & 0xff), kind, flags, 0, 0, 0, 0]
            + payload
    }

    @Test("It finds the answer once, however the bytes are cut, and takes nothing else for it")
    func cuts() {
        let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
        let other = [
            Self.frame(4, 0, []), Self.frame(6, 0, PingReader.mark),
            Self.frame(0, 1, PingReader.mark), Self.frame(6, 1, Array("12345678".utf8)),
            Self.frame(0, 1, Self.frame(6, 1, PingReader.mark)),
        ]
        let before = preface + other.joined()
        let bytes = before + Self.frame(6, 1, PingReader.mark) + other.joined()
        for size in 1...bytes.count {
            var (reader, found) = (PingReader(), [Int]())
            for start in stride(from: 0, to: bytes.count, by: size) {
                let end = min(start + size, bytes.count)
                if reader.read(bytes[start..<end]) { found.append(end) }
            }
            #expect(found.count == 1, "\(size)")
            #expect((found.first ?? 0) >= before.count + 17, "\(size)")
        }
    }
}
#endif
