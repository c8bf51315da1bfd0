// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@Suite("a proxy that relays between TCP and a Unix socket", .serialized)
struct RelayTests {
    /// A proxy in a process of its own, between a client and a listener of the test.
    private struct Proxy {
        let process: ChildProcess
        private let folder: TemporaryFolder
        private let upstream: BlockingListener
        private let port: Int?

        /// The clients come by the one way, and are passed on by the other.
        init(_ backend: String, toUnix: Bool) throws {
            folder = try TemporaryFolder()
            let path = "\(folder.path)/x"
            upstream = try toUnix ? BlockingListener(unix: path) : BlockingListener()
            process = try ChildProcess(
                "NoriaProbe",
                toUnix ? ["relay to unix", path] : ["relay to tcp", path, "\(upstream.port)"],
                environment: ["NORIA_BACKEND": backend]
            )
            let line = try process.output.line(containing: "listening on ")
            port = toUnix ? line.split(separator: ":").last.flatMap { Int($0) } : nil
        }

        func connect() throws -> (client: BlockingClient, upstream: BlockingClient) {
            let client =
                try port.map { try BlockingClient(port: $0) }
                ?? BlockingClient(unix: "\(folder.path)/x")
            return (client, try upstream.accept())
        }

        func end() throws -> ChildProcess.Exit {
            process.signal(SIGTERM)
            return try process.waitForExit()
        }
    }

    @Test("8 MiB each way at once arrive whole", arguments: Backends.all, [true, false])
    func large(backend: String, toUnix: Bool) throws {
        let proxy = try Proxy(backend, toUnix: toUnix)
        let before = LeakCheck(of: proxy.process.pid)
        let (client, upstream) = try proxy.connect()
        let messages = [[UInt8].pattern(8 << 20), [UInt8].pattern(8 << 20, seed: 77)]
        let received = Locked<[[UInt8]]>([[], []])
        PlainThreads.run(4) { index in
            switch index {
            case 0, 1:
                let end = index == 0 ? client : upstream
                try? end.send(messages[index])
                end.endSending()
            default:
                let bytes = try? (index == 2 ? upstream : client).receiveAll()
                received.withLock { $0[index - 2] = bytes ?? [] }
            }
        }
        #expect(received.withLock { $0 } == messages)
        client.close()
        upstream.close()
        // Its threads are not compared: a ring's kernel may have made a worker for a send that found
        // a writable socket full again and again (seen on 6.18), and keeps it.
        try Waiting.until("the descriptors to be as before: \(before)") {
            LeakCheck(of: proxy.process.pid).descriptors == before.descriptors
        } seen: {
            "\(LeakCheck(of: proxy.process.pid))"
        }
        #expect(try proxy.end() == .code(0))
    }

    @Test(
        "either end may end its direction first, and goes on hearing",
        arguments: Backends.all,
        [true, false]
    )
    func halfClose(backend: String, toUnix: Bool) throws {
        let proxy = try Proxy(backend, toUnix: toUnix)
        for clientEndsFirst in [true, false] {
            let (client, upstream) = try proxy.connect()
            let (first, second) = clientEndsFirst ? (client, upstream) : (upstream, client)
            try first.send(Array("bye".utf8))
            first.endSending()
            #expect(try second.receiveAll() == Array("bye".utf8))
            for round in 0..<10 {
                try second.send([UInt8(round)])
                #expect(try first.receive(exactly: 1) == [UInt8(round)])
            }
            second.endSending()
            #expect(try first.receiveAll() == [])
        }
        #expect(try proxy.end() == .code(0))
    }

    @Test(
        "bytes behind those that come with a descriptor are passed on",
        arguments: Backends.all
    )
    func shortReads(backend: String) throws {
        let proxy = try Proxy(backend, toUnix: false)
        let (client, upstream) = try proxy.connect()
        // A read ends at such a message: the proxy, stopped, meets several in one look. Nothing is
        // sent back, which would have the kernel look at the socket again.
        proxy.process.signal(SIGSTOP)
        for round in 0..<4 {
            try client.send([UInt8(round)], withDescriptor: 1)
            try client.send([UInt8](repeating: 9, count: 10))
        }
        proxy.process.signal(SIGCONT)
        let expected = (0..<4).flatMap { [UInt8($0)] + [UInt8](repeating: 9, count: 10) }
        #expect(try upstream.receive(exactly: expected.count) == expected)
        client.close()
        upstream.close()
        #expect(try proxy.end() == .code(0))
    }

    @Test("a reset of one end is the other's, and is reported once", arguments: Backends.all)
    func reset(backend: String) throws {
        let proxy = try Proxy(backend, toUnix: false)
        let before = LeakCheck(of: proxy.process.pid)
        let steady = try proxy.connect()
        for _ in 0..<5 {
            let (client, upstream) = try proxy.connect()
            try client.send([1, 2, 3])
            #expect(try upstream.receive(exactly: 3) == [1, 2, 3])
            upstream.abort()
            // A Unix socket has no reset: the end is what can be passed on.
            #expect(try client.receiveAll() == [])
            client.close()
        }
        try steady.client.send([9])
        #expect(try steady.upstream.receive(exactly: 1) == [9])
        steady.client.close()
        #expect(try steady.upstream.receiveAll() == [])
        steady.upstream.close()
        try before.waitUntilRestored(in: proxy.process.pid)
        let reports = proxy.process.errors.lines.filter { $0.contains("the handler threw") }
        #expect(reports.count == 5, "\(reports)")
        #expect(reports.allSatisfy { $0.contains("read from 127.0.0.1:") }, "\(reports)")
        #expect(reports.allSatisfy { $0.contains("ECONNRESET") }, "\(reports)")
        #expect(try proxy.end() == .code(0))
    }

    @Test(
        "an upstream that goes with bytes unread is a reset to a TCP client, not an end",
        arguments: Backends.all
    )
    func resetToTCP(backend: String) throws {
        let proxy = try Proxy(backend, toUnix: true)
        let (client, upstream) = try proxy.connect()
        try upstream.send([4, 5])
        #expect(try client.receive(exactly: 2) == [4, 5])
        try client.send([1, 2, 3])
        #expect(try upstream.receive(exactly: 1) == [1])
        upstream.close()
        let error = #expect(throws: BlockingClient.Failure.self) { try client.receiveAll() }
        #expect(error?.errno == ECONNRESET)
        #expect(try proxy.end() == .code(0))
    }

    @Test(
        "SIGTERM ends idle relays, and a busy one when its answer has gone through",
        arguments: Backends.all,
        [true, false]
    )
    func drain(backend: String, toUnix: Bool) throws {
        let proxy = try Proxy(backend, toUnix: toUnix)
        let idle = try proxy.connect()
        try idle.client.send([1])
        #expect(try idle.upstream.receive(exactly: 1) == [1])
        try idle.upstream.send([2])
        #expect(try idle.client.receive(exactly: 1) == [2])
        let busy = try proxy.connect()
        try busy.client.send([3])
        #expect(try busy.upstream.receive(exactly: 1) == [3])
        proxy.process.signal(SIGTERM)
        #expect(try idle.upstream.receiveAll() == [])
        idle.upstream.close()
        #expect(try idle.client.receiveAll() == [])
        idle.client.close()
        // The answer comes after the signal; what began it is still owed one.
        let answer = [UInt8].pattern(300_000)
        let received = Locked<[UInt8]>([])
        PlainThreads.run(2) { index in
            if index == 0 {
                try? busy.upstream.send(answer)
                _ = try? busy.upstream.receiveAll()
                busy.upstream.close()
            } else {
                received.withLock { $0 = (try? busy.client.receiveAll()) ?? [] }
                busy.client.close()
            }
        }
        #expect(received.withLock { $0 } == answer)
        try proxy.process.expectExit(.code(0))
        #expect(!proxy.process.errors.text.contains("cancelling"), "\(proxy.process.errors.text)")
    }
}
