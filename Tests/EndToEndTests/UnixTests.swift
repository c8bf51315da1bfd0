// SPDX-License-Identifier: Apache-2.0
import Glibc
import Synchronization
import TestSupport
import Testing

@Suite("noria echo on a Unix socket", .serialized)
struct UnixTests {
    @Test(
        "the ready line names the path, messages come back, the path is gone at the end",
        arguments: Backends.all
    )
    func path(backend: String) throws {
        let server = try UnixEchoServer(backend)
        let line = try server.process.output.line(containing: "listening on")
        #expect(line == "listening on unix:\(server.name) backend=\(backend) loops=1")
        try converse(server.connect())
        #expect(TemporaryFolder.mode(of: server.name) == S_IFSOCK | 0o600)
        #expect(try server.end() == .code(0))
        #expect(server.folder.entries == [])
    }

    @Test("an abstract name works without a file", arguments: Backends.all)
    func abstract(backend: String) throws {
        let name = "@noria-test-\(getpid())-\(backend)"
        let server = try UnixEchoServer(backend, in: TemporaryFolder(), name: name)
        let line = try server.process.output.line(containing: "listening on")
        #expect(line == "listening on unix:\(name) backend=\(backend) loops=1")
        try converse(server.connect())
        #expect(server.folder.entries == [])
        let second = try ChildProcess("noria", ["echo", "--unix", name])
        try second.expectExit(.code(1))
        #expect(try second.errors.all().contains("listen on unix:\(name): the address is in use"))
        #expect(try server.end() == .code(0))
    }

    private func converse(_ client: BlockingClient) throws {
        for count in [1, 100, 16_384, 65_535, 65_536, 65_537] {
            let message = [UInt8].pattern(count, seed: count)
            try client.send(message)
            #expect(try client.receive(exactly: count) == message)
        }
        client.endSending()
        #expect(try client.receiveAll().isEmpty)
    }

    @Test(
        "8 MiB come back whole to one who ends its direction behind them",
        arguments: Backends.all
    )
    func large(backend: String) throws {
        let server = try UnixEchoServer(backend)
        let client = try server.connect()
        let message = [UInt8].pattern(8 << 20)
        let received = Mutex<[UInt8]>([])
        PlainThreads.run(2) { index in
            if index == 0 {
                try? client.send(message)
                client.endSending()
            } else {
                received.withLock { $0 = (try? client.receiveAll()) ?? [] }
            }
        }
        #expect(received.withLock { $0 } == message)
        #expect(try server.end() == .code(0))
    }

    @Test(
        "bytes that come with descriptors are echoed, and the descriptors not kept",
        arguments: Backends.all
    )
    func shortReads(backend: String) throws {
        let server = try UnixEchoServer(backend)
        let before = LeakCheck(of: server.process.pid)
        let client = try server.connect()
        // A read ends at such a message: the server, stopped, meets several in one look.
        server.process.signal(SIGSTOP)
        for round in 0..<4 {
            try client.send([UInt8(round)], withDescriptor: 1)
            try client.send([UInt8](repeating: 9, count: 10))
        }
        server.process.signal(SIGCONT)
        let expected = (0..<4).flatMap { [UInt8($0)] + [UInt8](repeating: 9, count: 10) }
        #expect(try client.receive(exactly: expected.count) == expected)
        client.close()
        try before.waitUntilRestored(in: server.process.pid)
        #expect(try server.end() == .code(0))
    }

    @Test(
        "connections that end in every manner leave descriptors and threads as they were",
        arguments: Backends.all
    )
    func nothingIsLeft(backend: String) throws {
        let server = try UnixEchoServer(backend)
        let before = LeakCheck(of: server.process.pid)
        let steady = try server.connect()
        let filler = [UInt8].pattern(100_000)
        for round in 0..<40 {
            let client = try server.connect()
            switch round % 4 {
            case 0: break
            case 1:
                try client.send(.pattern(100))
                #expect(try client.receive(exactly: 100) == .pattern(100))
            case 2:
                // In the middle of an answer that it never reads: the server is reset.
                while try client.sendWithoutWaiting(filler) > 0 {}
            default:
                client.endSending()
                #expect(try client.receiveAll().isEmpty)
            }
            client.close()
            try steady.send([UInt8(round)])
            #expect(try steady.receive(exactly: 1) == [UInt8(round)])
        }
        steady.close()
        try before.waitUntilRestored(in: server.process.pid)
        #expect(try server.end() == .code(0))
        let reports = server.process.errors.lines.filter { $0.contains("the handler threw") }
        #expect(!reports.isEmpty)
        #expect(
            reports.allSatisfy { $0.contains("from unix:(unnamed) (process \(getpid()), user ") },
            "\(reports)"
        )
    }

    @Test("200 clients of three loops are answered whole, and drained", arguments: Backends.all)
    func loops(backend: String) throws {
        let server = try UnixEchoServer(backend, loops: 3)
        let clients = try (0..<200).map { _ in try server.connect() }
        for (index, client) in clients.enumerated() {
            try client.send(.pattern(300, seed: index))
        }
        for (index, client) in clients.enumerated() {
            #expect(try client.receive(exactly: 300) == .pattern(300, seed: index))
        }
        server.process.signal(SIGTERM)
        for client in clients {
            #expect(try client.receiveAll().isEmpty)
            client.close()
        }
        try server.process.expectExit(.code(0))
    }

    @Test("'--unix' and '--port' or '--host' exclude each other")
    func usage() throws {
        for option in [["--port", "0"], ["--host", "127.0.0.1"]] {
            let process = try ChildProcess("noria", ["echo", "--unix", "x"] + option)
            try process.expectExit(.code(64))
            #expect(try process.errors.all().contains("'--unix' stands in the place of"))
        }
    }
}
