// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@Suite("several loops")
struct LoopsTests {
    @Test("the kernel spreads 10,000 connections within 20 %", arguments: Backends.all)
    func spread(backend: String) throws {
        let process = try ChildProcess(
            "NoriaProbe",
            ["spread"],
            environment: ["NORIA_BACKEND": backend]
        )
        let line = try process.output.line(containing: "listening on")
        let port = Int(line.drop { $0 != ":" }.dropFirst()) ?? 0
        var counts: [String: Int] = [:]
        for _ in 0..<10_000 {
            let client = try BlockingClient(port: port)
            counts[String(decoding: try client.receiveAll(), as: UTF8.self), default: 0] += 1
            client.close()
        }
        #expect(counts.values.reduce(0, +) == 10_000)
        #expect(Set(counts.keys) == ["loop 0", "loop 1"])
        for (_, count) in counts { #expect((4_000...6_000).contains(count), "\(counts)") }
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }

    @Test("actors stay on their loops, whoever calls them", arguments: Backends.all)
    func pinned(backend: String) throws {
        let process = try ChildProcess(
            "NoriaProbe",
            ["pinned"],
            environment: ["NORIA_BACKEND": backend]
        )
        try process.expectExit(.code(0))
        let lines = try process.output.all().split(separator: "\n")
        // 60 tasks call each in turn, the first a 34th time; 20 more call each 100 times.
        let first = "count: \(60 * 34 + 2000) strays: 0"
        let other = "count: \(60 * 33 + 2000) strays: 0"
        #expect(lines == [Substring(first), Substring(other), Substring(other), "ended: 0"])
    }

    @Test("a loop that computes loses the tasks that wait to another", arguments: Backends.all)
    func shares(backend: String) throws {
        let process = try ChildProcess(
            "NoriaProbe",
            ["group"],
            environment: ["NORIA_BACKEND": backend]
        )
        try process.expectExit(.code(0), seconds: 60)
        let lines = try process.output.all().split(separator: "\n")
        #expect(lines.count == 2)
        for line in lines { #expect(line.hasPrefix("loop 0, loop 1 in "), "\(line)") }
    }

    @Test(
        "what is done on all loops is done on each, and its task comes home",
        arguments: Backends.all
    )
    func hops(backend: String) throws {
        let process = try ChildProcess(
            "NoriaProbe",
            ["hops"],
            environment: ["NORIA_BACKEND": backend]
        )
        try process.expectExit(.code(0))
        #expect(try process.output.all() == "home each time\nended: 0\n")
    }

    @Test("a second instance is refused the port of two loops", arguments: Backends.all)
    func exclusive(backend: String) throws {
        let server = try EchoServer(backend, environment: ["NORIA_LOOPS": "2"])
        let second = try ChildProcess(
            "noria",
            ["echo", "--port", "\(server.port)", "--loops", "2"],
            environment: ["NORIA_BACKEND": backend]
        )
        try second.expectExit(.code(1))
        #expect(try second.errors.all().contains("EADDRINUSE"))
        _ = try server.end()
    }
}
