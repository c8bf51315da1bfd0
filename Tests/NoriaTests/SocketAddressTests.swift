// SPDX-License-Identifier: Apache-2.0
import Noria
import Testing

@Suite("SocketAddress reads literals and nothing else")
struct SocketAddressTests {
    @Test(
        "An address reads as it is written",
        arguments: [
            "127.0.0.1:80", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:80", "[::]:0",
            "[2001:db8::ff00:42:8329]:443", "[::ffff:1.2.3.4]:7", "[fe80::1%1]:9",
        ]
    )
    func roundTrip(text: String) throws {
        let address = try SocketAddress(text)
        #expect("\(address)" == text)
        #expect(try SocketAddress("\(address)") == address)
        #expect(try SocketAddress("\(address)").hashValue == address.hashValue)
    }

    @Test("Several spellings of one IPv6 address are equal, and the shortest is written")
    func spellings() throws {
        let address = try SocketAddress("[0:0:0:0:0:0:0:1]:80")
        #expect(try address == SocketAddress("[::1]:80"))
        #expect("\(address)" == "[::1]:80")
        #expect(try SocketAddress("[2001:DB8::1]:1") == SocketAddress("[2001:db8::1]:1"))
    }

    @Test("Port, host and family make a difference")
    func different() throws {
        let texts = [
            "127.0.0.1:80", "127.0.0.1:81", "127.0.0.2:80", "[::1]:80", "[::ffff:127.0.0.1]:80",
        ]
        #expect(Set(try texts.map { try SocketAddress($0) }).count == texts.count)
        #expect(try SocketAddress("127.0.0.1:8080").port == 8080)
        #expect(try SocketAddress("[::1]:443").port == 443)
    }

    @Test(
        "What is no address with a port is refused, and the text is named",
        arguments: [
            "", ":", ":80", "80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:-1", "127.0.0.1:65536",
            "127.0.0.1:99999999999999999999", "127.0.0.1:http", "127.0.0.1: 80", "127.0.0.1:80 ",
            "127.0.0.1:+80", "127.0.0.1:0x50", " 127.0.0.1:80", "127.0.0.1 :80", "127.1:80",
            "127.0.0.01:80", "256.0.0.1:80", "1.2.3.4.5:80", "2130706433:80", "localhost:80",
            "::1:80", "[::1]", "[::1]80", "[::1]:", "[]:80", "[:80", "]:80", "[::1:80", "::1]:80",
            "[localhost]:80", "[127.0.0.1]:80", "[::1%]:80", "[::1%nowhere]:80", "[:::]:80",
            "[fe80::1%+1]:80", "[fe80::1%-0]:80", "[fe80::1%lo:x]:80", "[::1]:70000",
            "[1:2:3:4:5:6:7:8:9]:80", "127.0.0.1\u{0}:80", "127.0.0.1\u{0}.evil.example:80",
            "[::1\u{0}]:80", "１２７.0.0.1:80", "127.0.0.1:８０",
        ]
    )
    func refused(text: String) {
        let error = #expect(throws: NetworkError.self) { try SocketAddress(text) }
        #expect(error?.kind == .badAddress)
        #expect(error?.errno == nil)
        #expect(error?.operation == "read the address '\(text)'")
    }

    @Test("The error says what to write instead")
    func advice() {
        let bare = #expect(throws: NetworkError.self) { try SocketAddress("::1:80") }
        #expect(bare?.description.contains("needs brackets: [::1]:80") == true)
        let name = #expect(throws: NetworkError.self) { try SocketAddress.ip("localhost", port: 1) }
        #expect(name?.description.contains("take names, too") == true)
        let port = #expect(throws: NetworkError.self) { try SocketAddress.ip("::1", port: 65_536) }
        #expect(port?.description.contains("0 to 65535") == true)
    }

    @Test("A literal with a port takes IPv6 without brackets")
    func literals() throws {
        #expect("\(try SocketAddress.ip("::1", port: 80))" == "[::1]:80")
        #expect("\(try SocketAddress.ip("127.0.0.1", port: 0))" == "127.0.0.1:0")
        for literal in ["[::1]", "", "::1 ", "fe80::1%", "1.2.3.4\u{0}x"] {
            #expect(throws: NetworkError.self) { try SocketAddress.ip(literal, port: 80) }
        }
    }
}
