// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@Suite("Handlers that fail, return early or close twice concern their own connection only")
struct HandlerTests {
    private struct Server {
        let process: ChildProcess
        let port: Int

        init(_ backend: String) throws {
            process = try ChildProcess(
                "NoriaProbe",
                ["handlers"],
                environment: ["NORIA_BACKEND": backend]
            )
            let line = try process.output.line(containing: "listening on ")
            guard let port = line.split(separator: ":").last.flatMap({ Int($0) }) else {
                throw ChildProcess.Failure("no port in '\(line)'")
            }
            self.port = port
        }

        func client(sending text: String) throws -> BlockingClient {
            let client = try BlockingClient(port: port)
            try client.send(Array(text.utf8))
            return client
        }
    }

    @Test(
        "A handler that throws is reported, its peer reads the end, the others go on",
        arguments: Backends.all
    )
    func throwing(backend: String) throws {
        let server = try Server(backend)
        let before = LeakCheck(of: server.process.pid)
        let steady = try server.client(sending: "e")
        #expect(try steady.receive(exactly: 1) == Array("e".utf8))
        for round in 1...5 {
            let failing = try server.client(sending: "t")
            #expect(try failing.receiveAll() == [])
            failing.close()
            try steady.send([UInt8(round)])
            #expect(try steady.receive(exactly: 1) == [UInt8(round)])
        }
        let reports = {
            server.process.errors.lines.filter { $0.contains("a mistake of the handler's") }
        }
        try Waiting.until("five reports") {
            reports().count >= 5
        } seen: {
            server.process.errors.text
        }
        #expect(reports().count == 5, "\(reports())")
        #expect(reports().allSatisfy { $0.contains("from 127.0.0.1:") }, "\(reports())")
        steady.close()
        try before.waitUntilRestored(in: server.process.pid)
        server.process.signal(SIGTERM)
        try server.process.expectExit(.code(0))
    }

    @Test("A handler that returns ends by FIN, one that aborts by a reset", arguments: Backends.all)
    func ends(backend: String) throws {
        let server = try Server(backend)
        let before = LeakCheck(of: server.process.pid)
        // Bytes that the handler never reads must not turn the end into a reset.
        let returned = try server.client(sending: "r" + String(repeating: "x", count: 100_000))
        #expect(try returned.receiveAll() == [])
        returned.close()
        let aborted = try server.client(sending: "a")
        let error = #expect(throws: BlockingClient.Failure.self) { try aborted.receiveAll() }
        #expect(error?.errno == ECONNRESET)
        aborted.close()
        try before.waitUntilRestored(in: server.process.pid)
        // Neither is an error of the handler's.
        let reports = server.process.errors.lines.filter { $0.contains("handler threw") }
        #expect(reports == [])
        server.process.signal(SIGTERM)
        try server.process.expectExit(.code(0))
    }

    @Test("Two tasks that close one connection close its descriptor once", arguments: Backends.all)
    func closesOnce(backend: String) throws {
        let server = try Server(backend)
        let client = try BlockingClient(port: server.port, receiveBuffer: 4096)
        try client.send(Array("2".utf8))
        try server.process.output.line(containing: "closing with bytes unsent: true")
        let received = try client.receiveAll()
        #expect(received.count == 1_000_000)
        #expect(received.allSatisfy { $0 == 7 })
        client.close()
        let line = try server.process.output.line(containing: "the number is still")
        #expect(line == "the number is still the next owner's: true")
        server.process.signal(SIGTERM)
        try server.process.expectExit(.code(0))
    }
}
