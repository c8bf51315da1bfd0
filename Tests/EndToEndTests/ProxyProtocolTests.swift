// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@Suite(
    "A listener behind a proxy knows its clients, and takes nobody without a header",
    .serialized
)
struct ProxyProtocolTests {
    private static let signature: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10]
    private static let line = Array("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n".utf8)
    private static let block =
        signature + [0x21, 0x11, 0, 12, 192, 0, 2, 1, 198, 51, 100, 7, 0xdc, 0x04, 1, 0xbb]
    private static let local = signature + [0x20, 0, 0, 0]

    /// A client that sends a header and asks for a handler in one segment.
    private func client(
        _ server: LimitServer,
        _ text: String,
        after header: [UInt8] = line
    ) throws -> BlockingClient {
        let client = try BlockingClient(port: server.port)
        try client.send(header + Array(text.utf8))
        return client
    }

    private func line(_ client: BlockingClient) throws -> String {
        var bytes: [UInt8] = []
        while bytes.last != 0x0a {
            let byte = try client.receive(exactly: 1)
            if byte.isEmpty { break }
            bytes += byte
        }
        return String(decoding: bytes.dropLast(), as: UTF8.self)
    }

    /// Malformed, missing and timed out, once they are these.
    private func waitForCounts(_ server: LimitServer, _ counts: [Int]) throws {
        var seen = ""
        try Waiting.until("\(counts) refusals") {
            seen = (try? client(server, "n").text()) ?? "no answer"
            return seen == "\(counts)\n"
        } seen: {
            seen
        }
    }

    @Test(
        "The handler sees the client, the proxy, and all that follows the header",
        arguments: Backends.all,
        [1, 2]
    )
    func named(backend: String, loops: Int) throws {
        let server = try LimitServer(backend, loops: loops, "proxied")
        let ipv6 = Array("PROXY TCP6 2001:db8::1 ::1 1 2\r\n".utf8)
        let path = Array("/run/client".utf8) + [UInt8](repeating: 0, count: 205)
        let named: [([UInt8], String)] = [
            (Self.line, "192.0.2.1:56324"), (Self.block, "192.0.2.1:56324"),
            (ipv6, "[2001:db8::1]:1"),
            (Self.signature + [0x21, 0x31, 0, 216] + path, "unix:/run/client"),
        ]
        for (header, address) in named {
            let client = try client(server, "pthe rest", after: header)
            let words = try line(client).split(separator: " ")
            #expect(words.first.map(String.init) == address)
            #expect(words.last?.hasPrefix("127.0.0.1:") == true)
            #expect(try client.receive(exactly: 8) == Array("the rest".utf8))
            #expect(try client.echoes("more"))
            client.close()
        }
        // Where no client is named the sender is the client.
        for header in [Self.local, Array("PROXY UNKNOWN\r\n".utf8)] {
            let client = try client(server, "p", after: header)
            let words = try line(client).split(separator: " ")
            #expect(words.first?.hasPrefix("127.0.0.1:") == true)
            #expect(words.last == "none")
            client.close()
        }
        // Errors and reports name both.
        try client(server, "?").close()
        try server.process.output.line(containing: "ended: Mistake")
        try client(server, "r").close()
        let returned = try server.process.output.line(containing: "from 192.0.2.1:56324 through")
        #expect(returned.contains(" through 127.0.0.1:"))
        try server.waitForConnections(loops == 1 ? 0 : 1)
        #expect(try server.end() == .code(0))
    }

    @Test("A header may come in any two pieces, and byte for byte", arguments: Backends.all)
    func pieces(backend: String) throws {
        let server = try LimitServer(backend, "proxied")
        let other = try client(server, "e")
        let answer = Array("192.0.2.1:56324 ".utf8)
        for header in [Self.line, Self.block] {
            for cut in 1..<header.count {
                let client = try BlockingClient(port: server.port)
                try client.send(Array(header[..<cut]))
                // The loop has looked at the kernel since.
                #expect(try other.echoes())
                try client.send(header[cut...] + Array("p".utf8))
                #expect(try client.receive(exactly: answer.count) == answer, "cut at \(cut)")
                client.close()
            }
            let client = try BlockingClient(port: server.port)
            for byte in header {
                try client.send([byte])
                #expect(try other.echoes())
            }
            try client.send(Array("p".utf8))
            #expect(try client.receive(exactly: answer.count) == answer)
            client.close()
        }
        other.close()
        #expect(try server.end() == .code(0))
    }

    @Test("Garbage is reset, counted and told; the others go on", arguments: Backends.all)
    func garbage(backend: String) throws {
        let server = try LimitServer(backend, "proxied")
        let healthy = try client(server, "e")
        for bytes in [
            Array("GET / HTTP/1.1\r\n".utf8), Array("PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n".utf8),
            Self.signature + [0x21, 0x11, 0, 11], Array("PROXY UNKNOWN\n".utf8),
        ] {
            let client = try BlockingClient(port: server.port)
            try client.send(bytes)
            #expect(try client.endsByReset())
        }
        try waitForCounts(server, [4, 0, 0])
        #expect(try healthy.echoes())
        healthy.close()
        #expect(try server.end() == .code(0))
        let text = server.process.output.text + server.process.errors.text
        #expect(text.contains("is refused: its first bytes are no PROXY header"))
        // One line in five seconds, and no handler has run.
        #expect(text.split(separator: "is refused").count == 2)
        #expect(!server.process.output.lines.contains { $0.hasPrefix("ended: ") })
    }

    @Test("Whoever ends before the header is counted, and no error", arguments: Backends.all)
    func missing(backend: String) throws {
        let server = try LimitServer(backend, "proxied")
        let silent = try BlockingClient(port: server.port)
        silent.endSending()
        #expect(try silent.receiveAll().isEmpty)
        let half = try BlockingClient(port: server.port)
        try half.send(Array(Self.block.dropLast()))
        half.endSending()
        #expect(try half.receiveAll().isEmpty)
        silent.close()
        half.close()
        try waitForCounts(server, [0, 2, 0])
        try server.waitForConnections(0)
        #expect(try server.end() == .code(0))
        #expect(!server.process.output.lines.contains { $0.hasPrefix("ended: ") })
    }

    @Test("A silent and a slow sender are timed out, nobody else", arguments: Backends.all)
    func timedOut(backend: String) throws {
        let server = try LimitServer(backend, "proxied", "header=1000")
        let healthy = try client(server, "e")
        let silent = try BlockingClient(port: server.port)
        let slow = try BlockingClient(port: server.port)
        try slow.send(Array("PROXY ".utf8))
        for _ in 0..<101 where !slow.isReadable(within: 50) { try slow.send(Array("T".utf8)) }
        #expect(try slow.endsByReset())
        #expect(try silent.endsByReset())
        try waitForCounts(server, [0, 0, 2])
        // The time is the header's alone.
        #expect(try healthy.echoes())
        healthy.close()
        #expect(try server.end() == .code(0))
    }

    @Test("A loop that was late itself takes the header that has come", arguments: Backends.all)
    func lateLoop(backend: String) throws {
        let server = try LimitServer(backend, "proxied", "header=1000")
        let other = try client(server, "e")
        let waiting = try (0..<20).map { _ in try BlockingClient(port: server.port) }
        // Accepted before, and so timed.
        try server.waitForConnections(21)
        #expect(try other.echoes())
        server.process.signal(SIGSTOP)
        for client in waiting { try client.send(Self.line + Array("e".utf8)) }
        usleep(1_200_000)
        server.process.signal(SIGCONT)
        for client in waiting { #expect(try client.echoes()) }
        for client in waiting + [other] { client.close() }
        #expect(try server.end() == .code(0))
        #expect(!server.process.output.text.contains("refused"))
    }

    @Test(
        "A drain ends who has sent a header alone, and answers what was begun",
        arguments: Backends.all
    )
    func drained(backend: String) throws {
        let server = try LimitServer(backend, "proxied")
        let other = try client(server, "e")
        #expect(try other.echoes())
        let silent = try BlockingClient(port: server.port)
        let idle = try client(server, "")
        let asking = try client(server, "l")
        try asking.send(Array("one\n".utf8))
        #expect(try asking.receive(exactly: 5) == Array("<one>".utf8))
        try asking.send(Array("tw".utf8))
        let half = try BlockingClient(port: server.port)
        try half.send(Array(Self.line.prefix(20)))
        try server.waitForConnections(5)
        #expect(try other.echoes())
        server.process.signal(SIGTERM)
        #expect(try silent.receiveAll().isEmpty)
        #expect(try idle.receiveAll().isEmpty)
        try asking.send(Array("o\n".utf8))
        #expect(try asking.receiveAll() == Array("<two>".utf8))
        try half.send(Self.line.dropFirst(20) + Array("lthree\n".utf8))
        #expect(try half.receiveAll() == Array("<three>".utf8))
        for client in [silent, idle, asking, half, other] { client.close() }
        #expect(try server.process.waitForExit() == .code(0))
        #expect(!server.process.output.text.contains("refused"))
    }

    @Test("A Unix listener behind a proxy does the same", arguments: Backends.all, [1, 2])
    func unix(backend: String, loops: Int) throws {
        let folder = try TemporaryFolder()
        let path = "\(folder.path)/socket"
        let server = try ChildProcess(
            "NoriaProbe",
            ["limits", path, "proxied"],
            environment: ["NORIA_BACKEND": backend, "NORIA_LOOPS": "\(loops)"]
        )
        try server.output.line(containing: "listening on ")
        for header in [Self.line, Self.block] {
            let client = try BlockingClient(unix: path)
            try client.send(header + Array("prest".utf8))
            #expect(try line(client) == "192.0.2.1:56324 unix:(unnamed)")
            #expect(try client.receive(exactly: 4) == Array("rest".utf8))
            client.close()
        }
        let stranger = try BlockingClient(unix: path)
        try stranger.send(Array("e".utf8))
        // Its byte was read, so an end stands for the reset.
        #expect(try stranger.receiveAll().isEmpty)
        stranger.close()
        server.signal(SIGTERM)
        #expect(try server.waitForExit() == .code(0))
    }
}
