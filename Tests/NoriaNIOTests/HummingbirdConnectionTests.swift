// SPDX-License-Identifier: Apache-2.0
#if Hummingbird
import Glibc
import TestSupport
import Testing

/// What a connection of HTTP/1 does between request and response.
@Suite("Hummingbird's connections on Noria's loops", .serialized)
struct HummingbirdConnectionTests {
    private static let backends = ["io_uring", "epoll", "poll"]

    /// A server, what `body` does with it, and the server's end.
    private func serving(
        _ backend: String,
        loops: Int = 1,
        _ body: (ChildProcess, Int) throws -> Void
    ) throws {
        let (process, port) = try RealProgram.start(
            ["noria"],
            backend,
            loops: loops,
            program: "NoriaHummingbirdProbe"
        )
        try body(process, port)
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }

    private func get(_ path: String, _ more: String = "") -> [UInt8] {
        Array("GET /\(path) HTTP/1.1\r\nHost: x\r\n\(more)\r\n".utf8)
    }

    /// Receives until `ending` has come.
    @discardableResult
    private func text(_ client: BlockingClient, until ending: String) throws -> String {
        var text = ""
        while !text.hasSuffix(ending) {
            let piece = try client.receive(atMost: 1)
            guard !piece.isEmpty else { throw Ended(text: text) }
            text += String(decoding: piece, as: UTF8.self)
        }
        return text
    }
    private struct Ended: Error { let text: String }

    @Test("each piece is answered before the next is sent", arguments: backends)
    func duplex(backend: String) throws {
        try serving(backend) { _, port in
            let client = try BlockingClient(port: port)
            for _ in 0..<2 {
                try client.send(
                    Array(
                        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".utf8
                    )
                )
                for index in 0..<30 {
                    let chunk = "8\r\npiece \(index + 10)\r\n"
                    try client.send(Array(chunk.utf8))
                    try text(client, until: chunk)
                }
                try client.send(Array("0\r\n\r\n".utf8))
                try text(client, until: "0\r\n\r\n")
            }
            client.close()
        }
    }

    @Test(
        "requests in one packet are answered in order, a body that nobody read is skipped",
        arguments: backends
    )
    func pipelined(backend: String) throws {
        try serving(backend) { _, port in
            let client = try BlockingClient(port: port)
            let post = "POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab"
            let unread = "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nxyz"
            try client.send(get("") + Array((unread + post).utf8) + get("bytes/3"))
            try text(client, until: "\r\n\r\nhello")
            try text(client, until: "\r\n\r\nhello")
            try text(client, until: "\r\n\r\n2 \(97 * 31 + 98)\n")
            try text(client, until: "\r\n\r\n\0\u{1}\u{2}")
            client.close()
        }
    }

    @Test("'Connection: close' ends the connection behind the answer", arguments: backends)
    func connectionClose(backend: String) throws {
        try serving(backend) { _, port in
            for first in [[], get("")] {
                let client = try BlockingClient(port: port)
                try client.send(first)
                if !first.isEmpty { try text(client, until: "hello") }
                try client.send(get("", "Connection: close\r\n"))
                let answer = String(decoding: try client.receiveAll(), as: UTF8.self)
                #expect(answer.hasSuffix("\r\n\r\nhello"), "\(answer)")
                client.close()
            }
        }
    }

    @Test(
        "what is no HTTP is answered by 400 and the end, also behind a request; others are served on",
        arguments: backends
    )
    func malformed(backend: String) throws {
        try serving(backend) { _, port in
            for first in [[], get("")] {
                let client = try BlockingClient(port: port)
                try client.send(first)
                if !first.isEmpty { try text(client, until: "hello") }
                try client.send(Array("GET / HTTP/1.1\r\nno header\r\n\r\n".utf8))
                let answer = String(decoding: try client.receiveAll(), as: UTF8.self)
                #expect(answer.hasPrefix("HTTP/1.1 400 "), "\(answer)")
                client.close()
            }
            let inBody = try BlockingClient(port: port)
            try inBody.send(
                Array("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".utf8)
            )
            try inBody.send(Array("3\r\nabc\r\n".utf8))
            try text(inBody, until: "3\r\nabc\r\n")
            try inBody.send(Array("no length\r\n".utf8))
            _ = try inBody.receiveAll()
            inBody.close()
            let other = try BlockingClient(port: port)
            try other.send(get(""))
            try text(other, until: "hello")
            other.close()
        }
    }

    @Test(
        "a handler is told of a client that leaves, and a connection goes on after one that stays",
        arguments: backends
    )
    func inboundClose(backend: String) throws {
        try serving(backend) { process, port in
            // The second is not the first request of its connection.
            for isFirst in [true, false] {
                let client = try BlockingClient(port: port)
                if !isFirst {
                    try client.send(get(""))
                    try text(client, until: "hello")
                }
                try client.send(get("events"))
                try text(client, until: "3\r\none\r\n")
                client.close()
                _ = try process.output.line(containing: "left: CancellationError")
            }
            let staying = try BlockingClient(port: port)
            try staying.send(get("events"))
            try text(staying, until: "3\r\none\r\n")
            let other = try BlockingClient(port: port)
            try other.send(get("open"))
            try text(other, until: "opened")
            try text(staying, until: "0\r\n\r\n")
            for client in [staying, other] { client.close() }
        }
    }

    @Test("a body that nobody takes is read no further than the marks", arguments: backends)
    func backpressure(backend: String) throws {
        try serving(backend) { process, port in
            let count = 256 << 20
            let client = try BlockingClient(port: port)
            try client.send(
                Array("POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: \(count)\r\n\r\n".utf8)
            )
            let piece = [UInt8](repeating: 1, count: 1 << 20)
            let before = residentKiB(process)
            var sent = 0
            // Until both sockets' buffers are full.
            while sent < count, case let some = try client.sendWithoutWaiting(piece), some > 0 {
                sent += some
            }
            #expect(sent < count / 2)
            #expect(residentKiB(process) - before < 8 << 10)
            let other = try BlockingClient(port: port)
            try other.send(get("open"))
            try text(other, until: "opened")
            while sent < count {
                let next = piece.prefix(count - sent)
                try client.send(Array(next))
                sent += next.count
            }
            try text(client, until: "\r\n\r\n\(count)")
            for client in [client, other] { client.close() }
        }
    }

    private func residentKiB(_ process: ChildProcess) -> Int {
        let status = RealProgram.bytes(of: "/proc/\(process.pid)/status")
        let line = String(decoding: status, as: UTF8.self).split(separator: "\n")
            .first { $0.hasPrefix("VmRSS:") }
        return Int((line ?? "").filter(\.isNumber)) ?? 0
    }

    @Test("handlers that leave the loop come back to it", arguments: backends, [1, 2])
    func away(backend: String, loops: Int) throws {
        try serving(backend, loops: loops) { _, port in
            PlainThreads.run(8) { _ in
                #expect(throws: Never.self) {
                    let client = try BlockingClient(port: port)
                    for _ in 0..<50 {
                        try client.send(get("away"))
                        try text(client, until: "\r\n0\r\n\r\n")
                    }
                    client.close()
                }
            }
        }
    }
}
#endif
