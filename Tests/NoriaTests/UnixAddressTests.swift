// SPDX-License-Identifier: Apache-2.0
import Noria
import NoriaSystem
import Testing

@testable import struct Noria.SocketAddress

@Suite("SocketAddress reads and writes Unix paths and abstract names")
struct UnixAddressTests {
    @Test(
        "An address reads as it is written",
        arguments: [
            "unix:/run/x", "unix:/run/größe 2", "unix:x", "unix:./(x)", "unix:/a@b", "unix:/a:1",
            "unix:@name", "unix:@/name", "unix:@@", "unix:@(", #"unix:/a\x5cb"#, #"unix:/a\x0ab"#,
            #"unix:\x40name"#, #"unix:\x28unnamed)"#, #"unix:/\xff\xfe"#, #"unix:@\x80"#,
        ]
    )
    func roundTrip(text: String) throws {
        let address = try SocketAddress(text)
        #expect("\(address)" == text)
        #expect(try SocketAddress("\(address)") == address)
        #expect(try SocketAddress("\(address)").hashValue == address.hashValue)
        #expect(address.port == nil)
    }

    @Test("Paths and names give the same address as their text")
    func parts() throws {
        #expect(try SocketAddress.unix("/run/x") == SocketAddress("unix:/run/x"))
        #expect(try SocketAddress.abstract("name") == SocketAddress("unix:@name"))
        #expect(try "\(SocketAddress.unix("@name"))" == #"unix:\x40name"#)
        #expect(try "\(SocketAddress.abstract(#"a\b"#))" == #"unix:@a\x5cb"#)
        let all = ["unix:a", "unix:@a", "unix:aa", "unix:/a", "127.0.0.1:1", "[::1]:1"]
        #expect(Set(try all.map { try SocketAddress($0) }).count == all.count)
    }

    @Test("What a name holds can't break the line of a log")
    func hostile() throws {
        let name = "a\nERROR \u{1b}[31m\u{202e}\u{2028}\u{85}\\"
        let address = try SocketAddress.abstract(name)
        let text = #"unix:@a\x0aERROR \x1b[31m\xe2\x80\xae\xe2\x80\xa8\xc2\x85\x5c"#
        #expect("\(address)" == text)
        #expect(try SocketAddress(text) == address)
    }

    @Test("The longest fit, and one byte more says the limit and the length")
    func length() throws {
        let longest = String(repeating: "x", count: 107)
        #expect("\(try SocketAddress("unix:\(longest)"))" == "unix:\(longest)")
        #expect("\(try SocketAddress.abstract(longest))" == "unix:@\(longest)")
        for text in ["unix:\(longest)y", "unix:@\(longest)y"] {
            let error = #expect(throws: NetworkError.self) { try SocketAddress(text) }
            #expect(error?.kind == .badAddress)
            #expect(error?.description.contains("has 108 bytes, and the limit is 107") == true)
        }
        let error = #expect(throws: NetworkError.self) {
            try SocketAddress.unix(FilePath(longest + "y"))
        }
        #expect(
            error?.description == "read the address '\(longest)y': not an address; "
                + "the path has 108 bytes, and the limit is 107"
        )
    }

    @Test(
        "What is no Unix address is refused, and the text is named",
        arguments: [
            "unix:", "unix:@", "unix:/a\u{0}b", "unix:@a\u{0}", #"unix:/a\x00"#, #"unix:/a\"#,
            #"unix:/a\n"#, #"unix:/a\x1"#, #"unix:/a\xg0"#, "unix:(unnamed)", "unix:(", "Unix:/a",
            "unix", "unix:\u{301}/a\u{0}",
        ]
    )
    func refused(text: String) {
        let error = #expect(throws: NetworkError.self) { try SocketAddress(text) }
        #expect(error?.kind == .badAddress)
        #expect(error?.operation == "read the address '\(text)'")
    }

    @Test("What the kernel gives is read whole: a path of 108 bytes, no name, a zero byte in one")
    func kernel() throws {
        let (near, far) = try Socket.pair()
        defer { [near, far].forEach(Descriptor.close) }
        #expect("\(SocketAddress(try Socket.peerAddress(of: near)))" == "unix:(unnamed)")
        #expect(try Socket.localAddress(of: near).unixName == .unnamed)
        #expect(SocketStorage(literal: "127.0.0.1", port: 1)?.unixName == nil)
        #expect(SocketStorage(unixPath: []) == nil)
        #expect(SocketStorage(abstract: [1, 0]) == nil)
    }
}
