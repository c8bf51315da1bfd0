// SPDX-License-Identifier: Apache-2.0
#if NIO
import Glibc
import TestSupport
import Testing

/// What strangers send, and how they leave: the server is another process, whose descriptors are
/// counted before and after.
@Suite("Bad input ends its connection, and nothing else", .serialized)
struct BadInputTests {
    private static let backends = ["io_uring", "epoll", "poll"]

    /// What a peer sends that is no request, or no handshake.
    enum Garbage: String, CaseIterable, Sendable {
        case noise, noVersion, badMethod, nulls, oneHugeHeader, manyHeaders, negativeLength
        case twoLengths, badChunk, hugeChunk, tls, tlsLength, tlsStart

        var bytes: [UInt8] {
            switch self {
            case .noise: [UInt8].pattern(50_000).map { $0 | 0x80 }
            case .noVersion: Array("GET\r\n\r\n".utf8)
            case .badMethod: Array("G\u{1}T / HTTP/1.1\r\n\r\n".utf8)
            case .nulls: [UInt8](repeating: 0, count: 1000)
            case .oneHugeHeader: head("x: \(String(repeating: "y", count: 500_000))")
            case .manyHeaders:
                head((0..<40_000).map { "x\($0): y" }.joined(separator: "\r\n"))
            case .negativeLength: head("content-length: -1")
            case .twoLengths: head("content-length: 1\r\ncontent-length: 2")
            case .badChunk: head("transfer-encoding: chunked") + Array("zz\r\n".utf8)
            case .hugeChunk:
                head("transfer-encoding: chunked") + Array("fffffffffffffffff\r\n".utf8)
            case .tls: [0x16, 3, 1, 0xff, 0xff] + [UInt8](repeating: 0, count: 70_000)
            case .tlsLength: [0x16, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff]
            case .tlsStart: [0x16, 3, 1, 0, 0]
            }
        }

        private func head(_ lines: String) -> [UInt8] {
            Array("POST /count HTTP/1.1\r\nhost: x\r\n\(lines)\r\n\r\n".utf8)
        }
    }

    /// Runs a server through it; what it wrote to its log, and the counts that it printed at its end.
    private func withServer(
        _ backend: String,
        tls: Bool,
        _ body: (Int) throws -> Void
    ) throws -> (log: [Substring], unhandled: Int, resets: Int)? {
        let folder = try TemporaryFolder()
        var arguments = ["http"]
        if tls {
            guard let paths = try RealProgram.certificate(in: folder, name: "localhost") else {
                return nil
            }
            arguments = ["https"] + paths
        }
        let (process, port) = try RealProgram.start(arguments, backend)
        let url = "\(arguments[0])://127.0.0.1:\(port)/"
        func serve() throws {
            let hello = try RealProgram.output("curl", ["-sSk", url])
            #expect(hello == nil || hello == "hello")
        }
        // What is opened once, a first connection opens.
        try serve()
        // The listener's own: the first connection is gone.
        try LeakCheck.waitForSockets(1, of: process.pid)
        let before = LeakCheck(of: process.pid).descriptors
        try body(port)
        try serve()
        // A ring may have got a thread of the kernel's meanwhile.
        try Waiting.until(
            "the server to hold again \(before)",
            { LeakCheck(of: process.pid).descriptors == before },
            seen: { "\(LeakCheck(of: process.pid).descriptors)" }
        )
        process.signal(SIGTERM)
        let counts = try process.output.line(containing: "unhandled errors").split(separator: " ")
        let exit = try process.waitForExit()
        let log = try process.errors.all()
        #expect(exit == .code(0), "\(log)")
        let numbers = counts.compactMap { Int($0) }
        try #require(numbers.count == 2)
        return (log.split(separator: "\n"), numbers[0], numbers[1])
    }

    @Test(
        "Garbage is answered by a close, logged and counted, and leaves nothing open",
        arguments: backends,
        [false, true]
    )
    func garbage(backend: String, tls: Bool) throws {
        let seen = try withServer(backend, tls: tls) { port in
            for garbage in Garbage.allCases {
                // The peer waits for what comes, or has ended.
                for isEnded in [false, true] {
                    let client = try BlockingClient(port: port)
                    defer { client.close() }
                    try? client.send(garbage.bytes)
                    // A handshake that has begun waits for more, as a request does.
                    if isEnded || tls { client.endSending() }
                    do {
                        _ = try client.receiveAll()
                    } catch let failure as BlockingClient.Failure {
                        // A reset, rather than ten seconds of silence.
                        #expect(failure.errno != EAGAIN, "\(garbage), ended: \(isEnded)")
                    }
                }
            }
        }
        guard let seen else { return }
        let reports = seen.log.filter { $0.contains("no handler took an error") }
        #expect((1...20).contains(reports.count), "\(seen.log)")
        #expect(seen.unhandled >= 10 && seen.unhandled > reports.count)
        #expect(seen.log.allSatisfy { !$0.contains(" error ") }, "\(seen.log)")
    }

    /// Where a client is as it vanishes.
    enum State: CaseIterable, Sendable {
        case connected, halfAHead, halfABody, midResponse, halfAHandshake

        var bytes: [UInt8] {
            switch self {
            case .connected: []
            case .halfAHead: Array("POST / HTTP/1.1\r\nhost: ".utf8)
            case .halfABody:
                Array("POST /count HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\nhalf".utf8)
            case .midResponse: Array("GET /bytes/50000000 HTTP/1.1\r\nhost: x\r\n\r\n".utf8)
            // The begin of a handshake of 512 bytes.
            case .halfAHandshake: [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 1, 2, 3, 4, 5]
            }
        }
    }

    @Test(
        "A client that vanishes, by an end or a reset, takes nothing with it",
        arguments: backends,
        [false, true]
    )
    func vanishing(backend: String, tls: Bool) throws {
        let seen = try withServer(backend, tls: tls) { port in
            for state in State.allCases {
                for isReset in [false, true] {
                    for _ in 0..<5 {
                        let client = try BlockingClient(port: port)
                        try? client.send(state.bytes)
                        if state == .midResponse, !tls {
                            #expect(try client.receive(exactly: 100_000).count == 100_000)
                        }
                        if isReset {
                            client.abort()
                        } else {
                            client.endSending()
                            _ = try? client.receiveAll()
                            client.close()
                        }
                    }
                }
            }
        }
        guard let seen else { return }
        // A response that is being sent always meets it.
        #expect(tls || seen.resets >= 5, "\(seen)")
        #expect(seen.log.allSatisfy { !$0.contains(" error ") }, "\(seen.log)")
    }

    @Test("The same inside of TLS", arguments: backends)
    func vanishingInside(backend: String) throws {
        _ = try withServer(backend, tls: true) { port in
            let script = """
                import socket, ssl, struct
                context = ssl._create_unverified_context()
                states = [
                    b"", b"POST / HTTP/1.1\\r\\nhost: ",
                    b"POST /count HTTP/1.1\\r\\nhost: x\\r\\ncontent-length: 99\\r\\n\\r\\nhalf",
                    b"GET /bytes/50000000 HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n",
                ]
                for text in states:
                    for how in ["end", "reset", "shutdown"]:
                        plain = socket.create_connection(("127.0.0.1", \(port)), 10)
                        client = context.wrap_socket(plain)
                        client.sendall(text)
                        if b"bytes" in text:
                            assert len(client.recv(1000)) > 0
                        if how == "reset":
                            client.setsockopt(
                                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        if how == "shutdown":
                            client.shutdown(socket.SHUT_WR)
                        client.close()
                print("done")
                """
            let output = try RealProgram.output("python3", ["-c", script])
            #expect(output == nil || output == "done\n")
        }
    }

    @Test("Short of descriptors it rests, says so, and serves whoever waits", arguments: backends)
    func descriptors(backend: String) throws {
        let (process, port) = try RealProgram.start(["http"], backend)
        let open = LeakCheck(of: process.pid).descriptors.count
        guard
            try RealProgram.output(
                "prlimit",
                ["--pid", "\(process.pid)", "--nofile=\(open + 8)"]
            ) != nil
        else { return }
        let clients = try (0..<30).map { _ in try BlockingClient(port: port) }
        // All are connected, as far as they know, and there is room for a few.
        try process.errors.line(containing: "no handler took an error")
        let request = Array("GET / HTTP/1.1\r\nhost: x\r\n\r\n".utf8)
        for client in clients {
            try client.send(request)
            var answer = ""
            while !answer.hasSuffix("hello") {
                let bytes = try client.receive()
                try #require(!bytes.isEmpty)
                answer += String(decoding: bytes, as: UTF8.self)
            }
            // It makes room for one that waits.
            client.close()
        }
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }
}
#endif
