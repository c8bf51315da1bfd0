// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

/// A started example, and the port that it said it listens on.
final class Example: Sendable {
    let process: ChildProcess
    let port: Int

    init(
        _ name: String,
        _ arguments: [String] = ["127.0.0.1", "0"],
        environment: [String: String] = [:]
    ) throws {
        process = try ChildProcess(name, arguments, environment: environment)
        let line = try process.output.line(containing: "listening on")
        guard let port = line.split(separator: ":").last.flatMap({ Int($0) }) else {
            throw ChildProcess.Failure("no port in '\(line)'")
        }
        self.port = port
    }

    /// What is left is drained.
    func end() throws {
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }
}

extension BlockingClient {
    func say(_ line: String) throws { try send(Array((line + "\n").utf8)) }

    /// The next line, without its end; what came of one when the stream ends.
    func line() throws -> String {
        var bytes: [UInt8] = []
        while true {
            let byte = try receive(exactly: 1)
            guard !byte.isEmpty, byte != [10] else { break }
            bytes += byte
        }
        return String(decoding: bytes.last == 13 ? bytes.dropLast() : bytes[...], as: UTF8.self)
    }
}

@Suite("Each example does what its README says")
struct ExampleTests {
    @Test("EchoServer sends back what it was sent, also what came just before the end")
    func echo() throws {
        let server = try Example("EchoServer")
        let client = try BlockingClient(port: server.port)
        try client.send(Array("hello".utf8))
        #expect(try client.receive(exactly: 5) == Array("hello".utf8))
        try client.send(Array("last words".utf8))
        server.process.signal(SIGTERM)
        #expect(try client.receiveAll() == Array("last words".utf8))
        try server.process.expectExit(.code(0))
    }

    @Test("ChatRoom tells the others, not the speaker; a drain ends it at once")
    func chat() throws {
        let server = try Example("ChatRoom")
        let anna = try BlockingClient(port: server.port)
        #expect(try anna.line() == "welcome, 1 here")
        let bert = try BlockingClient(port: server.port)
        #expect(try bert.line() == "welcome, 2 here")
        try anna.say("good morning")
        #expect(try bert.line().hasSuffix(": good morning"))
        try bert.say("and to you")
        #expect(try anna.line().hasSuffix(": and to you"))
        bert.close()
        // Bert has left when a third is told so.
        try Waiting.until("two to be there") {
            guard let third = try? BlockingClient(port: server.port) else { return false }
            defer { third.close() }
            return (try? third.line()) == "welcome, 2 here"
        }
        try server.end()
        #expect(try anna.receiveAll() == [])
    }

    @Test("LineProtocol keeps what was set, and says what is wrong")
    func lines() throws {
        let server = try Example("LineProtocol")
        let client = try BlockingClient(port: server.port)
        for (request, answer) in [
            ("HELLO", "OK"), ("SET name a b c", "OK"), ("GET name", "a b c"), ("GET other", "-"),
            ("WHAT", "ERR unknown command"),
        ] {
            try client.say(request)
            #expect(try client.line() == answer)
        }
        let stranger = try BlockingClient(port: server.port)
        try stranger.say("GET name")
        #expect(try stranger.line() == "ERR say HELLO first")
        #expect(try stranger.receiveAll() == [])
        let endless = try BlockingClient(port: server.port)
        try endless.say("HELLO")
        #expect(try endless.line() == "OK")
        try endless.say(String(repeating: "x", count: 5000))
        #expect(try endless.line() == "ERR tooLong")
        try client.say("QUIT")
        #expect(try client.receiveAll() == [])
        try server.end()
    }

    @Test("LineProtocol sends away who does not log in within a second")
    func silent() throws {
        let server = try Example("LineProtocol")
        let client = try BlockingClient(port: server.port)
        #expect(try client.line() == "ERR login took too long")
        #expect(try client.receiveAll() == [])
        try server.end()
    }

    @Test("Proxy passes bytes and ends both ways, and outlives an upstream that refuses")
    func proxy() throws {
        let upstream = try Example("EchoServer")
        let server = try Example(
            "Proxy",
            ["127.0.0.1", "0", "127.0.0.1", "\(upstream.port)"]
        )
        let client = try BlockingClient(port: server.port)
        try client.send(Array("through".utf8))
        #expect(try client.receive(exactly: 7) == Array("through".utf8))
        try client.send(Array("and the end".utf8))
        client.endSending()
        #expect(try client.receiveAll() == Array("and the end".utf8))
        client.close()
        try upstream.end()
        let refused = try BlockingClient(port: server.port)
        #expect((try? refused.receiveAll()) ?? [] == [])
        #expect(try server.process.errors.line(containing: "refused").contains("ECONNREFUSED"))
        try server.end()
    }
}

@Suite("Each example that serves nobody does what its README says")
struct ToolTests {
    @Test("BlockingCalls: the loop waits for a call on it, and not for one off it")
    func blockingCalls() throws {
        let server = try BlockingListener()
        let folder = try TemporaryFolder()
        let files = ["a", "b"].map { "\(folder.path)/\($0)" }
        try ChildProcess("/usr/bin/touch", files).expectExit(.code(0))
        let process = try ChildProcess(
            "BlockingCalls",
            ["http://127.0.0.1:\(server.port)/", folder.path]
        )
        // On the loop, then off it.
        for _ in 0..<2 {
            let client = try server.accept()
            while try client.line() != "" {}
            // How long a slow server takes.
            usleep(300_000)
            try client.send(Array("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".utf8))
            client.endSending()
        }
        try process.expectExit(.code(0), seconds: 60)
        let text = try process.output.all()
        let lines = text.split(separator: "\n")
        #expect(
            lines.map { String($0.prefix { $0 != ";" }) } == [
                "query: 1000000 rows", "walk: 2 files", "GET: 5 bytes",
            ],
            "\(text)"
        )
        /// The seconds of `… a timer is 0.3 seconds late; off the loop 0.001 seconds`.
        let late = lines.last?.split(separator: " ").compactMap { Double($0) }.suffix(2) ?? []
        #expect(late.count == 2 && late.first.map { $0 >= 0.299 } == true, "\(text)")
        #expect((late.last ?? 1) < (late.first ?? 0), "\(text)")
    }

    @Test("BlockingCalls says how it is called")
    func blockingCallsUsage() throws {
        try ChildProcess("BlockingCalls", []).expectExit(.code(64))
    }

    @Test("ChildProcesses passes lines on as they come, and says how the child ended")
    func childProcesses() throws {
        let folder = try TemporaryFolder()
        let process = try ChildProcess(
            "ChildProcesses",
            [
                """
                echo first; sleep 1
                while [ ! -e \(folder.path)/go ]; do sleep 0.01; done
                echo second; echo oh >&2; exit 3
                """
            ]
        )
        // The child waits for a file that is made when its first line has come.
        #expect(try process.output.line(containing: "line 1") == "line 1 on loop 0: first")
        try ChildProcess("/usr/bin/touch", ["\(folder.path)/go"]).expectExit(.code(0))
        try process.expectExit(.code(0))
        let lines = try process.output.all().split(separator: "\n")
        #expect(lines.count == 5, "\(lines)")
        #expect(lines.prefix(2).last == "line 2 on loop 0: second")
        #expect(lines.contains("exited(3) after 2 lines"))
        #expect(lines.contains("it complained: oh"))
        // A loop that waited for the child would be late by its life, which is more than a second.
        #expect(lines.last?.hasPrefix("a timer of 1 ms came 0.") == true, "\(lines)")
    }

    @Test("ChildProcesses: a shutdown ends the child, too")
    func childProcessesEnd() throws {
        let process = try ChildProcess("ChildProcesses", ["echo $$; exec sleep 600"])
        let line = try process.output.line(containing: "line 1")
        let child = try #require(line.split(separator: " ").last.flatMap { Int32($0) })
        #expect(kill(child, 0) == 0)
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
        // It was waited for before the program ended.
        #expect(kill(child, 0) == -1 && errno == ESRCH)
    }

    @Test("BlockedLoop is named while it is blocked, and counted once")
    func blockedLoop() throws {
        let process = try ChildProcess("BlockedLoop", [])
        try process.expectExit(.code(0), seconds: 60)
        let lines = try process.output.all().split(separator: "\n")
        #expect(lines.count == 6, "\(lines)")
        #expect(lines.contains { $0.hasPrefix("on stall: loop 0, ") })
        #expect(lines.contains { $0.hasPrefix("1 stall, the longest turn took ") })
        #expect(lines.last == "1 stall still")
        let errors = try process.errors.all()
        #expect(
            errors.contains("static BlockedLoop.computeTable(for:) at BlockedLoop.swift:"),
            "\(errors)"
        )
    }

    @Test("HashFiles has a line for each file, and the same for the same bytes")
    func hashFiles() throws {
        let folder = try TemporaryFolder()
        let program = try ChildProcess(
            "/bin/sh",
            [
                "-c",
                """
                cd \(folder.path) && mkdir a b && printf abc >a/1 && printf abc >b/2 && : >empty \
                && head -c 3000000 /dev/zero >large && ln -s nowhere dangling
                """,
            ]
        )
        try program.expectExit(.code(0))
        let process = try ChildProcess("HashFiles", [folder.path])
        try process.expectExit(.code(0), seconds: 60)
        let lines = try process.output.all().split(separator: "\n")
        #expect(lines.last == "4 files, 3000006 bytes")
        let hashes = lines.dropLast().map { $0.split(separator: " ")[0] }
        #expect(hashes.count == 4)
        #expect(Set(hashes).count == 3)
        #expect(hashes.contains("e71fa2190541574b"))
        #expect(hashes.contains("cbf29ce484222325"))
    }

    @Test("PrimeFarm counts right although a worker is killed")
    func primeFarm() throws {
        let process = try ChildProcess("PrimeFarm", ["100000"])
        try process.expectExit(.code(0), seconds: 60)
        let lines = try process.output.all().split(separator: "\n")
        #expect(lines.count == 3, "\(lines)")
        #expect(lines[0].hasPrefix("one call failed, and no other: killed(signal: SIGKILL)"))
        #expect(lines[1] == "9592 primes below 100000")
        #expect(lines[2].hasPrefix("11 calls, 1 death"))
    }

    @Test("HashFiles says how it is called, and which folder is not there")
    func hashNothing() throws {
        try ChildProcess("HashFiles", []).expectExit(.code(64))
        let process = try ChildProcess("HashFiles", ["/nowhere"])
        try process.expectExit(.code(1))
        #expect(try process.errors.all().contains("list /nowhere: No such file or directory"))
    }
}
