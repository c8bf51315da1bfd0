// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@Suite("SIGTERM loses nothing on a Unix socket", .serialized)
struct UnixShutdownTests {
    @Test("idle clients end, busy ones are answered whole first", arguments: Backends.all)
    func drain(backend: String) throws {
        let server = try UnixEchoServer(backend)
        let idle = try (0..<10).map { _ in try server.connect() }
        for client in idle.prefix(5) {
            try client.send([1, 2, 3])
            #expect(try client.receive(exactly: 3) == [1, 2, 3])
        }
        let busy = try (0..<10).map { _ in try server.connect() }
        let message = [UInt8].pattern(150_000)
        for client in busy { try client.send(message) }
        server.process.signal(SIGTERM)
        for client in busy { #expect(try client.receiveAll() == message) }
        for client in idle { #expect(try client.receiveAll().isEmpty) }
        for client in idle + busy { client.close() }
        try server.process.expectExit(.code(0))
        #expect(server.folder.entries == [])
    }

    @Test(
        "those who connected before the signal and were not accepted are answered",
        arguments: Backends.all,
        [1, 2]
    )
    func queued(backend: String, loops: Int) throws {
        let server = try UnixEchoServer(backend, loops: loops)
        // Stopped, the server accepts nothing; the kernel connects the clients all the same.
        server.process.signal(SIGSTOP)
        // More than one turn accepts, so that some are still queued when the signal is looked at.
        let clients = try (0..<300).map { _ in try server.connect() }
        for (index, client) in clients.enumerated() {
            try client.send(.pattern(100, seed: index))
        }
        server.process.signal(SIGTERM)
        server.process.signal(SIGCONT)
        for (index, client) in clients.enumerated() {
            #expect(try client.receiveAll() == .pattern(100, seed: index))
            client.close()
        }
        try server.process.expectExit(.code(0))
    }

    @Test(
        "under load nobody is reset and no answer is cut",
        arguments: Backends.all,
        ["path", "@noria-load"]
    )
    func underLoad(backend: String, name: String) throws {
        let name = name.hasPrefix("@") ? "\(name)-\(getpid())-\(backend)" : name
        let server = try UnixEchoServer(backend, in: TemporaryFolder(), name: name)
        let answers = Locked(0)
        let faults = Locked<[String]>([])
        PlainThreads.run(33) { index in
            guard index > 0 else {
                try? Waiting.until("1,000 answers") { answers.withLock { $0 } >= 1000 }
                server.process.signal(SIGTERM)
                return
            }
            // A connection for each request, until nobody listens any more.
            while true {
                do {
                    let client = try BlockingClient(unix: server.name)
                    try client.send(.pattern(500, seed: index))
                    let answer = try client.receive(exactly: 500)
                    // An end without a byte is allowed: the request came after the signal.
                    if answer == .pattern(500, seed: index) {
                        answers.withLock { $0 += 1 }
                    } else if !answer.isEmpty {
                        faults.withLock { $0.append("\(answer.count) bytes") }
                    }
                } catch let error as BlockingClient.Failure
                    where error.operation == "connect"
                    && (error.errno == ENOENT || error.errno == ECONNREFUSED)
                {
                    return
                } catch let error as BlockingClient.Failure where error.errno == EPIPE {
                    // The end was there before the request was written.
                    continue
                } catch {
                    return faults.withLock { $0.append("\(error)") }
                }
            }
        }
        try server.process.expectExit(.code(0))
        #expect(faults.withLock { $0 } == [])
        #expect(answers.withLock { $0 } >= 1000)
    }

    @Test(
        "nobody can connect once it drains, and another may listen there",
        arguments: Backends.all
    )
    func refusesNew(backend: String) throws {
        let server = try UnixEchoServer(backend)
        let deaf = try server.connect()
        // It keeps the drain waiting: its answer can't be sent.
        while try deaf.sendWithoutWaiting(.pattern(65_536)) > 0 {}
        server.process.signal(SIGTERM)
        try Waiting.until("the path to be gone") { server.folder.entries.isEmpty }
        let error = #expect(throws: BlockingClient.Failure.self) { try server.connect() }
        #expect(error?.errno == ENOENT)
        let next = try UnixEchoServer(backend, in: server.folder)
        deaf.close()
        try server.process.expectExit(.code(0))
        let client = try next.connect()
        try client.send([7])
        #expect(try client.receive(exactly: 1) == [7])
        client.close()
        #expect(try next.end() == .code(0))
    }
}
