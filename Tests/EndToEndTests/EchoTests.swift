// SPDX-License-Identifier: Apache-2.0
import Glibc
import Synchronization
import TestSupport
import Testing

@Suite("noria echo, talked to from another process", .serialized)
struct EchoTests {
    @Test("the ready line names the backend that was asked for", arguments: Backends.all)
    func readyLine(backend: String) throws {
        let server = try EchoServer(backend)
        let line = try server.process.output.line(containing: "listening on")
        #expect(line == "listening on 127.0.0.1:\(server.port) backend=\(backend) loops=1")
        #expect(try server.end() == .code(0))
    }

    @Test("messages of many sizes come back byte for byte", arguments: Backends.all)
    func sizes(backend: String) throws {
        let server = try EchoServer(backend)
        let client = try server.connect()
        for count in [1, 2, 100, 1024, 16_384, 65_535, 65_536, 65_537] {
            let message = [UInt8].pattern(count, seed: count)
            try client.send(message)
            #expect(try client.receive(exactly: count) == message)
        }
        client.close()
        #expect(try server.end() == .code(0))
    }

    @Test("8 MiB come back whole through a client that reads late", arguments: Backends.all)
    func large(backend: String) throws {
        let server = try EchoServer(backend)
        let client = try server.connect(receiveBuffer: 8192)
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

    @Test("data together with the end is answered, then ends", arguments: Backends.all)
    func dataWithEnd(backend: String) throws {
        let server = try EchoServer(backend)
        for count in [1, 10, 4096, 70_000] {
            let client = try server.connect()
            let message = [UInt8].pattern(count)
            try client.send(message)
            client.endSending()
            #expect(try client.receiveAll() == message)
        }
        #expect(try server.end() == .code(0))
    }

    @Test("a client that ends without a byte is let go", arguments: Backends.all)
    func nothingButEnd(backend: String) throws {
        let server = try EchoServer(backend)
        let client = try server.connect()
        client.endSending()
        #expect(try client.receiveAll().isEmpty)
        #expect(try server.end() == .code(0))
    }

    @Test("500 connections leave no descriptor behind", arguments: Backends.all)
    func noLeak(backend: String) throws {
        let server = try EchoServer(backend)
        let before = server.process.descriptorCount
        for round in 0..<500 {
            let client = try server.connect()
            let message = [UInt8].pattern(100, seed: round)
            try client.send(message)
            #expect(try client.receive(exactly: 100) == message)
            if round % 3 == 0 { client.abort() } else { client.close() }
        }
        try Waiting.until("the descriptors to be as before: \(before)") {
            server.process.descriptorCount == before
        } seen: {
            "\(server.process.descriptorCount)"
        }
        #expect(try server.end() == .code(0))
    }

    @Test("a reset in the middle disturbs nobody else", arguments: Backends.all)
    func reset(backend: String) throws {
        let server = try EchoServer(backend)
        let steady = try server.connect()
        for round in 0..<50 {
            let wild = try server.connect(receiveBuffer: 4096)
            try wild.send([UInt8].pattern(50_000))
            wild.abort()
            let message = [UInt8].pattern(1000, seed: round)
            try steady.send(message)
            #expect(try steady.receive(exactly: 1000) == message)
        }
        steady.close()
        #expect(try server.end() == .code(0))
    }

    @Test("a client that never reads keeps nobody from being served", arguments: Backends.all)
    func deafClients(backend: String) throws {
        let server = try EchoServer(backend)
        let deaf = try (0..<20).map { _ in try server.connect(receiveBuffer: 4096) }
        PlainThreads.run(deaf.count) { index in
            // Until the server takes no more: its high mark and the kernel's buffers are full.
            let filler = [UInt8](repeating: 7, count: 100_000)
            var limit = 40
            while limit > 0, (try? deaf[index].sendNow(filler)) == true { limit -= 1 }
        }
        let healthy = try server.connect()
        for round in 0..<100 {
            let message = [UInt8].pattern(2000, seed: round)
            try healthy.send(message)
            #expect(try healthy.receive(exactly: 2000) == message)
        }
        for client in deaf { client.abort() }
        healthy.close()
        #expect(try server.end() == .code(0))
    }

    @Test("100 clients at once get each his own bytes", arguments: Backends.all)
    func many(backend: String) throws {
        let server = try EchoServer(backend)
        let wrong = Mutex(0)
        PlainThreads.run(100) { index in
            do {
                let client = try server.connect()
                for round in 0..<20 {
                    let message = [UInt8].pattern(700 + index, seed: index * 100 + round)
                    try client.send(message)
                    guard try client.receive(exactly: message.count) == message else {
                        throw ChildProcess.Failure("other bytes")
                    }
                }
            } catch {
                wrong.withLock { $0 += 1 }
            }
        }
        #expect(wrong.withLock { $0 } == 0)
        #expect(try server.end() == .code(0))
    }

    @Test("the descriptor limit delays clients and loses none", arguments: Backends.all)
    func descriptorLimit(backend: String) throws {
        let program = "\(ChildProcess.productFolder)/noria"
        let process = try ChildProcess(
            "/bin/sh",
            ["-c", "ulimit -n 16; exec \(program) echo --port 0 --backend \(backend)"]
        )
        let line = try process.output.line(containing: "listening on ")
        let port = Int(line.drop { $0 != ":" }.dropFirst().prefix { $0.isNumber }) ?? 0
        // Waiting clients are connected by the kernel before the server has a descriptor.
        let clients = try (0..<30).map { _ in try BlockingClient(port: port) }
        try process.errors.line(containing: "no file descriptor is left")
        for (index, client) in clients.enumerated() {
            let message = [UInt8].pattern(50, seed: index)
            try client.send(message)
            #expect(try client.receive(exactly: 50) == message)
            client.close()
        }
        #expect(process.errors.lines.filter { $0.contains("no file descriptor") }.count == 1)
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }
}

extension BlockingClient {
    /// Sends what fits now; false when nothing does.
    func sendNow(_ bytes: [UInt8]) throws -> Bool { try sendWithoutWaiting(bytes) > 0 }
}
