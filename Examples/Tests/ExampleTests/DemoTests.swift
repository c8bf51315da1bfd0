// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

/// `noria-demo` in a process of its own, on a free port, and what it answers to a client that blocks.
final class Demo: Sendable {
    let process: ChildProcess
    let port: Int

    init(_ backend: String, loops: Int = 1, environment: [String: String] = [:]) throws {
        process = try ChildProcess(
            "noria-demo",
            ["--port", "0", "--backend", backend, "--loops", "\(loops)"],
            // What was typed stands over it.
            environment: ["NORIA_BACKEND": "automatic", "NORIA_LOOPS": "3"]
                .merging(environment) { $1 }
        )
        let line = try process.output.line(containing: "listening on 127.0.0.1:")
        #expect(line.hasSuffix(" backend=\(backend) loops=\(loops)"), "\(line)")
        port = Int(line.drop { $0 != ":" }.dropFirst().prefix { $0.isNumber }) ?? 0
    }

    struct Answer {
        let status: Int
        let head: String
        let body: String
    }

    /// A client that has asked, and has not read yet.
    func ask(_ target: String) throws -> BlockingClient {
        let client = try BlockingClient(port: port)
        let head = "GET \(target) HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n"
        try client.send(Array(head.utf8))
        return client
    }

    func get(_ target: String) throws -> Answer {
        let text = String(decoding: try ask(target).receiveAll(), as: UTF8.self)
        let end = try #require(text.firstRange(of: "\r\n\r\n"), "\(target): \(text)")
        let status = text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        return Answer(
            status: status,
            head: text[..<end.lowerBound].lowercased(),
            body: String(text[end.upperBound...])
        )
    }

    /// The samples of `/metrics`: `name{labels}` and its value.
    func metrics() throws -> [String: Double] {
        let answer = try get("/metrics")
        #expect(answer.head.contains("content-type: text/plain; version=0.0.4"))
        var samples: [String: Double] = [:]
        for line in answer.body.split(separator: "\n") where !line.hasPrefix("#") {
            let words = line.split(separator: " ")
            let value = try #require(words.last.flatMap { Double($0) }, "\(line)")
            #expect(words.count == 2 && samples[String(words[0])] == nil, "\(line)")
            samples[String(words[0])] = value
        }
        return samples
    }

    func end() throws {
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }
}

/// The backends to test: the one that `NORIA_BACKEND` names, else all that start here.
enum Backends {
    static let all: [String] = {
        if let name = getenv("NORIA_BACKEND") { return [String(cString: name)] }
        return ["io_uring", "epoll", "poll"].filter { name in
            if (try? Demo(name)) != nil { return true }
            print("skipped: \(name) can't be had on this machine")
            return false
        }
    }()
}

@Suite("noria-demo answers, measures and ends as its page says", .serialized)
struct DemoTests {
    @Test("each endpoint answers, and refuses what is out of bounds", arguments: Backends.all)
    func endpoints(backend: String) throws {
        let demo = try Demo(backend)
        let page = try demo.get("/")
        #expect(page.status == 200 && page.head.contains("content-type: text/html"))
        #expect(page.body.contains("<strong>\(backend), 1 loop</strong>"), "\(page.body)")
        for target in ["plaintext", "stream", "offload", "block", "health", "metrics"] {
            #expect(page.body.contains("<a href=\"/\(target)"), "\(target)")
        }
        // Nothing comes from elsewhere.
        #expect(!page.body.contains("http:") && !page.body.contains("https:"))
        let plain = try demo.get("/plaintext")
        #expect(plain.status == 200 && plain.body == "hello", "\(plain)")
        #expect(plain.head.contains("content-type: text/plain"), "\(plain)")
        let primes = try demo.get("/offload?n=10000")
        #expect(primes.body.hasPrefix("{\"n\": 10000, \"primes\": 1229, "), "\(primes)")
        #expect(primes.body.contains("\"loopLateMs\": "), "\(primes)")
        let slept = try demo.get("/offload?sleep=20ms")
        #expect(slept.body.hasPrefix("{\"slept\": \"0.02 seconds\", "), "\(slept)")
        let health = try demo.get("/health")
        #expect(health.status == 200 && health.body == "ready\n", "\(health)")
        for target in [
            "/offload?n=2000001", "/offload?n=0", "/offload?sleep=6s", "/block?ms=5001",
            "/block?ms=x", "/stream?count=0", "/stream?count=10001", "/stream?every=200",
            "/stream?every=99999999999999999999s", "/stream?every=-1s",
        ] {
            let refused = try demo.get(target)
            #expect(refused.status == 400, "\(target): \(refused)")
            #expect(refused.body.contains("from "), "\(target): \(refused)")
        }
        #expect(try demo.get("/nothing").status == 404)
        try demo.end()
    }

    @Test("/stream sends its lines and ends", arguments: Backends.all)
    func stream(backend: String) throws {
        let demo = try Demo(backend, loops: 2)
        let answer = try demo.get("/stream?count=5&every=10ms")
        #expect(answer.status == 200)
        for number in 1...5 { #expect(answer.body.contains("line \(number) of 5, ")) }
        #expect(answer.body.hasSuffix("\r\n0\r\n\r\n"), "\(answer)")
        try demo.end()
    }

    @Test("/stream ends when its client has left", arguments: Backends.all)
    func leaving(backend: String) throws {
        let demo = try Demo(backend)
        let client = try demo.ask("/stream?count=10000&every=5ms")
        while try !client.line().contains("line 3 of 10000") {}
        let open = "noria_connections_open{loop=\"0\",backend=\"\(backend)\"}"
        var seen: Double?
        // The one who asks is one of them.
        try Waiting.until("the stream to be counted") { (try? demo.metrics()[open]) == 2 }
        client.close()
        try Waiting.until("the stream's connection to go") {
            seen = try? demo.metrics()[open]
            return seen == 1
        } seen: {
            "\(seen as Any)"
        }
        try demo.end()
    }

    @Test("SIGTERM ends a stream early, and the process in time with 0", arguments: Backends.all)
    func termination(backend: String) throws {
        let demo = try Demo(backend)
        // Its next line would come five seconds later, its last one in an hour.
        let slow = try demo.ask("/stream?count=1000&every=5s")
        while try !slow.line().contains("line 1 of") {}
        let fast = try demo.ask("/stream?count=10000&every=20ms")
        while try !fast.line().contains("line 3 of") {}
        let began = ContinuousClock.now
        demo.process.signal(SIGTERM)
        for client in [slow, fast] {
            let rest = String(decoding: try client.receiveAll(), as: UTF8.self)
            #expect(rest.contains("ended early: the service is being shut down"), "\(rest)")
            #expect(rest.hasSuffix("\r\n0\r\n\r\n"), "\(rest)")
        }
        try demo.process.expectExit(.code(0))
        #expect(began.duration(to: .now) < .seconds(4))
        let errors = try demo.process.errors.all()
        #expect(errors.contains("ended: SIGTERM: exit code 0"), "\(errors)")
    }

    @Test("/health is 503 from the request of the shutdown on", arguments: Backends.all)
    func draining(backend: String) throws {
        let demo = try Demo(backend, environment: ["NORIA_SHUTDOWN_GRACE": "4s"])
        #expect(try demo.get("/health").status == 200)
        demo.process.signal(SIGTERM)
        try demo.process.errors.line(containing: "not ready, and going on for")
        let health = try demo.get("/health")
        #expect(health.status == 503 && health.body.contains("shutdown: notReady"), "\(health)")
        // A stream goes on meanwhile.
        #expect(try demo.get("/stream?count=3&every=10ms").body.contains("line 3 of 3"))
        try demo.process.expectExit(.code(0))
    }

    @Test("/block is named in the log, with its function, and counted", arguments: Backends.all)
    func block(backend: String) throws {
        let demo = try Demo(backend)
        let stalls = "noria_eventloop_stalls_total{loop=\"0\",backend=\"\(backend)\"}"
        #expect(try demo.metrics()[stalls] == 0)
        let answer = try demo.get("/block?ms=600")
        #expect(answer.body.hasPrefix("loop 0 was blocked for 600 ms"), "\(answer)")
        try demo.process.errors.line(containing: "blockTheLoop(milliseconds:) at Work.swift:")
        #expect(demo.process.errors.text.contains("loop 0 is blocked, for "))
        try Waiting.until("the stall to be counted") { (try? demo.metrics()[stalls]) == 1 }
        try demo.end()
    }

    @Test("started wrongly, it says what failed, on what, why, and what to do")
    func wrongly() throws {
        let demo = try Demo(Backends.all[0])
        for (arguments, code, parts) in [
            (
                ["--port", "\(demo.port)"], 1,
                [
                    "listen on 127.0.0.1:\(demo.port): the address is in use (EADDRINUSE)",
                    "'--port'",
                ]
            ),
            (["--backend", "kqueue"], 64, ["automatic, io_uring, epoll or poll"]),
            (["--port", "65536"], 64, ["'--port 65536': from 0 to 65535"]),
            (["--loops", "0"], 64, ["'--loops 0': from 1 to 1024"]),
            (["--host", "1.2.3"], 1, ["IPv4 or IPv6 literal"]),
            (
                ["--host", "192.0.2.1"], 1,
                ["listen on 192.0.2.1:8080", "EADDRNOTAVAIL", "'--host'"]
            ),
        ] as [([String], Int32, [String])] {
            let process = try ChildProcess("noria-demo", arguments)
            try process.expectExit(.code(code))
            let errors = try process.errors.all()
            for part in parts { #expect(errors.contains(part), "\(arguments): \(errors)") }
        }
        try demo.end()
    }

    @Test("a name, and IPv6, are listened on as 'noria echo' does, and Ctrl-C ends it with 0")
    func names() throws {
        for (host, places) in [
            ("localhost", ["127.0.0.1:", "[::1]:"]), ("::1", ["[::1]:"]),
        ] {
            let process = try ChildProcess("noria-demo", ["--host", host, "--port", "0"])
            let line = try process.output.line(containing: "listening on")
            #expect(places.contains { line.hasPrefix("listening on \($0)") }, "\(line)")
            process.signal(SIGINT)
            try process.expectExit(.code(0))
        }
    }
}
