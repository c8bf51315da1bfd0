// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Noria

@Suite("A PROXY header is read as its specification has it, however it is cut")
struct ProxyHeaderTests {
    private typealias Endpoint = ProxyHeader.Endpoint

    private static let signature: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10]

    /// A header of version 2 around what follows its length.
    static func block(_ command: UInt8, _ family: UInt8, _ rest: [UInt8]) -> [UInt8] {
        let length = [UInt8(rest.count >> 8), UInt8(rest.count & 0xff)]
        return signature + [command, family] + length + rest
    }

    private static let loopback = [UInt8](repeating: 0, count: 15) + [1]
    private static let ends: [UInt8] = [192, 0, 2, 1, 198, 51, 100, 7, 0xdc, 0x04, 0x01, 0xbb]
    private static let path = Array("/run/client".utf8) + [UInt8](repeating: 0, count: 97)
    private static let nobody = [UInt8](repeating: 0, count: 108)

    private static func literals(
        _ source: String,
        _ port: UInt16,
        _ destination: String,
        _ other: UInt16,
        isIPv6: Bool = false
    ) -> ProxyHeader.Ends {
        ProxyHeader.Ends(
            source: .literal(source, isIPv6: isIPv6, port: port),
            destination: .literal(destination, isIPv6: isIPv6, port: other)
        )
    }

    private static let longest = String(repeating: "ffff:", count: 7) + "ffff"

    private static let good: [(bytes: [UInt8], ends: ProxyHeader.Ends?)] = [
        (
            Array("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n".utf8),
            literals("192.168.0.1", 56324, "192.168.0.11", 443)
        ),
        (
            Array("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n".utf8),
            literals("255.255.255.255", 65535, "255.255.255.255", 65535)
        ),
        (Array("PROXY TCP4 1.2.3.4 5.6.7.8 0 1\r\n".utf8), literals("1.2.3.4", 0, "5.6.7.8", 1)),
        (
            Array("PROXY TCP6 2001:db8::1 ::ffff:192.0.2.1 65535 0\r\n".utf8),
            literals("2001:db8::1", 65535, "::ffff:192.0.2.1", 0, isIPv6: true)
        ),
        (
            Array("PROXY TCP6 \(longest) \(longest) 65535 65535\r\n".utf8),
            literals(longest, 65535, longest, 65535, isIPv6: true)
        ),
        (Array("PROXY UNKNOWN\r\n".utf8), nil),
        (Array("PROXY UNKNOWN \(longest) \(longest) 65535 65535\r\n".utf8), nil),
        (Array("PROXY UNKNOWN what\rever\u{0}\r\n".utf8), nil),
        (
            block(0x21, 0x11, ends),
            ProxyHeader.Ends(
                source: .ip([192, 0, 2, 1], port: 56324),
                destination: .ip([198, 51, 100, 7], port: 443)
            )
        ),
        // With what may follow the addresses: a checksum that is wrong, and no whole TLV.
        (
            block(0x21, 0x11, ends + [3, 0, 4, 1, 2, 3, 4, 0xee]),
            ProxyHeader.Ends(
                source: .ip([192, 0, 2, 1], port: 56324),
                destination: .ip([198, 51, 100, 7], port: 443)
            )
        ),
        (
            block(0x21, 0x21, loopback + nobody.prefix(16) + [0, 1, 0xff, 0xff]),
            ProxyHeader.Ends(
                source: .ip(loopback, port: 1),
                destination: .ip([UInt8](repeating: 0, count: 16), port: 65535)
            )
        ),
        (
            block(0x21, 0x31, path + nobody),
            ProxyHeader.Ends(source: .unix(path), destination: .unix(nobody))
        ),
        // The largest that is taken.
        (
            block(0x21, 0x31, path + nobody + [UInt8](repeating: 4, count: 304)),
            ProxyHeader.Ends(source: .unix(path), destination: .unix(nobody))
        ),
        (block(0x20, 0x00, []), nil),
        (block(0x20, 0xff, [1, 2, 3]), nil),
        (block(0x20, 0x11, ends), nil),
        (block(0x21, 0x00, []), nil),
        (block(0x21, 0x00, [1, 2, 3]), nil),
        (block(0x21, 0x10, []), nil),
        (block(0x21, 0x01, [9]), nil),
        // Datagrams are no stream's: as if it were not said.
        (block(0x21, 0x12, ends), nil),
        (block(0x21, 0x32, path + nobody), nil),
    ]

    @Test("Each header of the table is read, and the bytes behind it are left")
    func whole() throws {
        for (bytes, ends) in Self.good {
            for rest in [[], [0x0a], Self.block(0x21, 0x11, Self.ends), Array("GET /\r\n".utf8)] {
                let header = try ProxyHeader.read(bytes + rest)
                #expect(header == ProxyHeader(ends: ends, byteCount: bytes.count), "\(bytes)")
            }
        }
    }

    @Test("Every beginning of a header needs more, and is nothing else")
    func cut() throws {
        for (bytes, _) in Self.good {
            for count in bytes.indices {
                #expect(try ProxyHeader.read(Array(bytes[..<count])) == nil, "\(bytes[..<count])")
            }
        }
    }

    @Test("What is no header is refused by its reason, as soon as that is seen")
    func malformed() {
        let lines: [(String, ProxyHeader.Malformed)] = [
            ("GET / HTTP/1.1\r\n", .notOne), ("X", .notOne), ("proxy TCP4", .notOne),
            ("PROXY\r\n", .notOne), ("PROXY\tTCP4", .notOne), (" PROXY", .notOne),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", .unendedLine),
            ("PROXY UNKNOWN one\ntwo\r\n", .unendedLine),
            ("PROXY \(String(repeating: "x", count: 101))", .unendedLine),
            ("PROXY UNKNOWN \(String(repeating: "x", count: 92))\r\n", .unendedLine),
            ("PROXY \r\n", .badLine), ("PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n", .badLine),
            ("PROXY UNKNOWNS\r\n", .badLine), ("PROXY unknown\r\n", .badLine),
            ("PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n", .badLine),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", .badLine),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n", .badLine),
            ("PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n", .badLine),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n", .badLine),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 00\r\n", .badLine),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n", .badLine),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 -0 2\r\n", .badLine),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n", .badLine),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r\n", .badLine),
            ("PROXY TCP4 ::1 ::1 1 2\r\n", .badAddress),
            ("PROXY TCP4 localhost 5.6.7.8 1 2\r\n", .badAddress),
            ("PROXY TCP6 fe80::1%1 ::1 1 2\r\n", .badAddress),
            ("PROXY TCP6 [::1] ::1 1 2\r\n", .badAddress),
        ]
        for (line, reason) in lines {
            #expect(throws: reason, "\(line)") { try ProxyHeader.read(Array(line.utf8)) }
        }
        let blocks: [([UInt8], ProxyHeader.Malformed)] = [
            (Self.block(0x11, 0x11, Self.ends), .unknownCommand(0x11)),
            (Self.block(0x22, 0x11, Self.ends), .unknownCommand(0x22)),
            (Self.block(0x21, 0x41, Self.ends), .unknownFamily(0x41)),
            (Self.block(0x21, 0x13, Self.ends), .unknownFamily(0x13)),
            (Self.block(0x21, 0x11, Self.ends.dropLast()), .tooShort(byteCount: 27)),
            (Self.block(0x21, 0x12, Self.ends.dropLast()), .tooShort(byteCount: 27)),
            (Self.block(0x21, 0x21, Self.ends), .tooShort(byteCount: 28)),
            (Self.block(0x21, 0x31, Self.path), .tooShort(byteCount: 124)),
            (Self.signature + [0x21, 0x11, 0x02, 0x09], .tooLong(byteCount: 537)),
            (Self.signature + [0x20, 0x00, 0xff, 0xff], .tooLong(byteCount: 65551)),
            (Self.signature.dropLast() + [0x0b], .notOne),
        ]
        for (bytes, reason) in blocks {
            #expect(throws: reason, "\(bytes)") { try ProxyHeader.read(bytes) }
        }
        #expect("\(ProxyHeader.Malformed.unknownCommand(0x22))".hasSuffix("command 0x22"))
        #expect("\(ProxyHeader.Malformed.tooLong(byteCount: 537))".contains("537 bytes, more than"))
    }

    @Test("A header's end is an address, or the header is refused")
    func addresses() throws {
        let addresses: [(Endpoint, String?)] = [
            (.literal("192.0.2.1", isIPv6: false, port: 80), "192.0.2.1:80"),
            (.literal("2001:DB8::0001", isIPv6: true, port: 0), "[2001:db8::1]:0"),
            (.ip([192, 0, 2, 1], port: 65535), "192.0.2.1:65535"),
            (.ip(Self.loopback, port: 7), "[::1]:7"),
            (.unix(Self.path), "unix:/run/client"),
            (.unix([0] + Array("name".utf8) + Self.nobody.dropFirst(5)), "unix:@name"),
            (.unix(Self.nobody), "unix:(unnamed)"),
            (.unix([UInt8](repeating: 0x61, count: 108)), nil),
            (.literal("1.2.3", isIPv6: false, port: 80), nil),
            (.literal("1.2.3.256", isIPv6: false, port: 80), nil),
            (.literal("01.2.3.4", isIPv6: false, port: 80), nil),
            (.literal("", isIPv6: true, port: 80), nil),
            (.literal("1.2.3.4", isIPv6: true, port: 80), nil),
            (.literal("1::2::3", isIPv6: true, port: 80), nil),
        ]
        for (endpoint, text) in addresses {
            #expect(endpoint.address.map { "\($0)" } == text, "\(endpoint)")
        }
    }
}
