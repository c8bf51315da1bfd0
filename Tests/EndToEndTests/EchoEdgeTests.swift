// SPDX-License-Identifier: Apache-2.0
import Glibc
import Synchronization
import TestSupport
import Testing

@Suite("noria echo at the edges of a stream", .serialized)
struct EchoEdgeTests {
    @Test(
        "Data and end that are there before the first look are answered once",
        arguments: Backends.all
    )
    func dataWithEnd(backend: String) throws {
        let server = try EchoServer(backend)
        for count in [0, 1, 10, 4096, 65_535, 65_536, 65_537, 131_072] {
            // A stopped server meets connection, data and end in one look.
            server.process.signal(SIGSTOP)
            let clients = try (0..<10).map { _ in try server.connect() }
            for (index, client) in clients.enumerated() {
                try client.send(.pattern(count, seed: index))
                client.endSending()
            }
            server.process.signal(SIGCONT)
            for (index, client) in clients.enumerated() {
                let answer = try client.receiveAll()
                #expect(answer == .pattern(count, seed: index), "\(answer.count) of \(count)")
                client.close()
            }
        }
        #expect(try server.end() == .code(0))
    }

    @Test("A client that ends its direction is still answered, then ended", arguments: Backends.all)
    func halfClose(backend: String) throws {
        let server = try EchoServer(backend)
        let client = try server.connect()
        try client.send([1])
        #expect(try client.receive(exactly: 1) == [1])
        let message = [UInt8].pattern(300_000)
        let failures = Mutex<[String]>([])
        PlainThreads.run(2) { index in
            do {
                if index == 0 {
                    try client.send(message)
                    client.endSending()
                } else if try client.receiveAll() != message {
                    failures.withLock { $0.append("other bytes") }
                }
            } catch { failures.withLock { $0.append("\(error)") } }
        }
        #expect(failures.withLock { $0 } == [])
        #expect(try server.end() == .code(0))
    }

    @Test(
        "1 MiB comes back whole through a small buffer read in small pieces",
        arguments: Backends.all
    )
    func slowReader(backend: String) throws {
        let server = try EchoServer(backend)
        let client = try server.connect(receiveBuffer: 4096)
        let message = [UInt8].pattern(1 << 20)
        let received = Mutex<[UInt8]>([])
        PlainThreads.run(2) { index in
            if index == 0 {
                try? client.send(message)
                client.endSending()
            } else {
                // Most of the time the server can't send: each way of a partial send is met.
                while let chunk = try? client.receive(atMost: 3001), !chunk.isEmpty {
                    received.withLock { $0 += chunk }
                }
            }
        }
        #expect(received.withLock { $0 } == message)
        #expect(try server.end() == .code(0))
    }

    @Test(
        "Connections that end in every manner leave descriptors and threads as they were",
        arguments: Backends.all
    )
    func nothingIsLeft(backend: String) throws {
        let server = try EchoServer(backend)
        let before = LeakCheck(of: server.process.pid)
        for round in 0..<200 {
            let client = try server.connect(receiveBuffer: 4096)
            switch round % 5 {
            case 0: break
            case 1:
                try client.send(.pattern(100))
                #expect(try client.receive(exactly: 100) == .pattern(100))
            case 2:
                // In the middle of an answer that it never reads.
                _ = try client.sendWithoutWaiting(.pattern(200_000))
                client.abort()
            case 3:
                client.endSending()
                #expect(try client.receiveAll().isEmpty)
            default: client.abort()
            }
            client.close()
        }
        try before.waitUntilRestored(in: server.process.pid)
        #expect(try server.end() == .code(0))
    }

    @Test("100 clients whose messages interleave get each their own bytes", arguments: Backends.all)
    func interleaved(backend: String) throws {
        let server = try EchoServer(backend)
        let clients = try (0..<100).map { _ in try server.connect() }
        for round in 0..<5 {
            for (index, client) in clients.enumerated() {
                try client.send(.pattern(500 + index, seed: round * 100 + index))
            }
            // The other way round: nobody is answered because he asked last.
            for (index, client) in clients.enumerated().reversed() {
                let message = [UInt8].pattern(500 + index, seed: round * 100 + index)
                #expect(try client.receive(exactly: 500 + index) == message)
            }
        }
        for client in clients { client.close() }
        #expect(try server.end() == .code(0))
    }

    @Test(
        "At the descriptor limit a waiting client is served as soon as another leaves",
        arguments: Backends.all
    )
    func descriptorLimit(backend: String) throws {
        let program = "\(ChildProcess.productFolder)/noria"
        let process = try ChildProcess(
            "/bin/sh",
            ["-c", "ulimit -n 20; exec \"$0\" \"$@\"", program, "echo", "--port=0"]
                + ["--backend", backend]
        )
        let line = try process.output.line(containing: "listening on ")
        let port = Int(line.drop { $0 != ":" }.dropFirst().prefix { $0.isNumber }) ?? 0
        let clients = try (0..<20).map { _ in try BlockingClient(port: port) }
        for (index, client) in clients.enumerated() { try client.send([UInt8(index)]) }
        try process.errors.line(containing: "no file descriptor is left")
        // Those who were accepted leave one by one; the last ones can only be served after them.
        for (index, client) in clients.enumerated() {
            #expect(try client.receive(exactly: 1) == [UInt8(index)])
            client.close()
        }
        let reports = process.errors.lines.filter { $0.contains("no file descriptor is left") }
        #expect(reports.count == 1, "\(reports)")
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }

    @Test("A server at rest uses no processor time", arguments: Backends.all)
    func atRest(backend: String) throws {
        let server = try EchoServer(backend)
        let client = try server.connect()
        try client.send([1])
        #expect(try client.receive(exactly: 1) == [1])
        let before = try server.process.switches()
        // The time at rest is the subject here, not a wait: a loop that spins or wakes by a timer
        // would be seen by the kernel's own count of its sleeps and preemptions.
        usleep(1_000_000)
        let after = try server.process.switches()
        #expect(after - before <= 2, "\(after - before) context switches in a second at rest")
        client.close()
        #expect(try server.end() == .code(0))
    }
}

extension ChildProcess {
    /// How often the kernel has switched to or from its main thread.
    fileprivate func switches() throws -> Int {
        let text = try LeakCheck.text(of: "/proc/\(pid)/status")
        let counts = text.split(separator: "\n").filter { $0.contains("ctxt_switches") }
            .compactMap { line in line.split(separator: "\t").last.flatMap { Int($0) } }
        guard counts.count == 2 else { throw Failure("no context switches in: \(text)") }
        return counts[0] + counts[1]
    }
}
