// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@Suite("Peers that vanish, reset or crawl concern their own connection only", .serialized)
struct PeerTests {
    @Test("A peer that vanished without a word is let go", arguments: Backends.all)
    func halfOpen(backend: String) throws {
        let server = try LimitServer(backend, "idle=1000", "write=500", "linger=200")
        let healthy = try server.client("e")
        #expect(try healthy.echoes())
        // One in a wait for bytes, one inside a line, one to whom bytes are sent.
        let idle = try server.client("e")
        #expect(try idle.echoes())
        let reading = try server.client("l")
        try reading.send(Array("one\ntw".utf8))
        #expect(try reading.receive(exactly: 5) == Array("<one>".utf8))
        let writing = try server.client("w", receiveBuffer: 4096)
        #expect(try writing.receive(exactly: 1).count == 1)
        for client in [idle, reading, writing] { try client.vanish() }
        try Waiting.until("one connection to be left") {
            _ = try? healthy.echoes()
            return LeakCheck(of: server.process.pid).descriptors.count { $0 == "socket" } == 2
        } seen: {
            server.process.output.text
        }
        let errors = try server.errors(3)
        #expect(errors.count == 3, "\(errors)")
        #expect(errors.count { $0.contains("(idleTimeout)") } == 2, "\(errors)")
        #expect(errors.count { $0.contains("(writeTimeout)") } == 1, "\(errors)")
        #expect(try healthy.echoes())
        healthy.close()
        #expect(try server.end() == .code(0))
    }

    @Test("Peers that vanished do not keep a drain", arguments: Backends.all)
    func halfOpenAtDrain(backend: String) throws {
        let server = try LimitServer(backend, "linger=200")
        let healthy = try server.client("e")
        let idle = try server.client("e")
        #expect(try idle.echoes())
        let unread = try server.client("q", receiveBuffer: 4096)
        #expect(try unread.receive(exactly: 1).count == 1)
        for client in [idle, unread] { try client.vanish() }
        #expect(try healthy.echoes())
        server.process.signal(SIGTERM)
        #expect(try healthy.receiveAll() == [])
        healthy.close()
        try server.process.expectExit(.code(0))
    }

    enum State: String, CaseIterable {
        case queued, silent, forwarding, insideMessage, unsent, lingering
    }

    @Test(
        "A reset in each state ends that connection and leaves nothing",
        arguments: Backends.all,
        State.allCases
    )
    func reset(backend: String, state: State) throws {
        let server = try LimitServer(backend, "linger=5000")
        let healthy = try server.client("e")
        #expect(try healthy.echoes())
        let before = LeakCheck(of: server.process.pid)
        for _ in 0..<20 {
            try meet(server, state)
            #expect(try healthy.echoes())
        }
        try before.waitUntilRestored(in: server.process.pid)
        // No handler threw but for the reset of its own connection.
        let errors = server.process.output.lines.filter { $0.hasPrefix("ended: ") }
        #expect(errors.count <= 20)
        for error in errors {
            #expect(error.contains("reset by the peer") || error.contains("is closed"), "\(error)")
            #expect(error.contains("127.0.0.1:") && error.contains("(connection "), "\(error)")
        }
        if state == .forwarding || state == .insideMessage {
            #expect(try server.errors(20).count == 20)
        }
        healthy.close()
        #expect(try server.end() == .code(0))
    }

    /// Brings a connection into a state, and resets it.
    private func meet(_ server: LimitServer, _ state: State) throws {
        switch state {
        case .queued:
            // A stopped server finds the reset behind the connection, in one look.
            server.process.signal(SIGSTOP)
            let client = try server.client("e")
            client.abort()
            server.process.signal(SIGCONT)
        case .silent:
            let client = try server.client()
            try server.waitForConnections(2)
            client.abort()
            try server.waitForConnections(1)
        case .forwarding:
            let client = try server.client("e")
            #expect(try client.echoes())
            client.abort()
        case .insideMessage:
            let client = try server.client("l")
            try client.send(Array("one\ntw".utf8))
            #expect(try client.receive(exactly: 5) == Array("<one>".utf8))
            client.abort()
        case .unsent:
            let client = try server.client("w", receiveBuffer: 4096)
            #expect(try client.receive(exactly: 1).count == 1)
            client.abort()
        case .lingering:
            // The handler has returned: the server's end is there, ours is waited for.
            let client = try server.client("r")
            #expect(try client.receiveAll() == [])
            client.abort()
        }
    }

    @Test("A client that sends a byte at a time is served like any other", arguments: Backends.all)
    func crawling(backend: String) throws {
        let server = try LimitServer(backend, "idle=5000", "read=5000")
        let healthy = try server.client("e")
        let slow = try server.client("l")
        for byte in Array("a slow line\n".utf8) {
            try slow.send([byte])
            #expect(try healthy.echoes())
        }
        #expect(try slow.receive(exactly: 13) == Array("<a slow line>".utf8))
        slow.close()
        healthy.close()
        #expect(try server.end() == .code(0))
    }

    @Test(
        "10,000 idle connections cost at most 4 KiB each and no processor time",
        arguments: Backends.all
    )
    func idleConnections(backend: String) throws {
        let count = 10_000
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        guard limit.rlim_max >= rlim_t(count + 100) else {
            print("skipped: 10,000 idle connections; the hard limit of descriptors is too low")
            return
        }
        let server = try EchoServer(backend)
        let healthy = try server.connect()
        // What is made once is made by then: code, tables, the first connections.
        for _ in 0..<100 { #expect(try healthy.echoes()) }
        let before = try server.process.statistics()
        let clients = try ChildProcess(
            "NoriaProbe",
            ["idle clients", "\(server.port)", "\(count)"]
        )
        try clients.output.line(containing: "connected: \(count)")
        // Connected is not accepted: the last of them wait in the backlog.
        try Waiting.until("all of them to be accepted") {
            server.process.descriptorCount > count
        } seen: {
            "\(server.process.descriptorCount) descriptors"
        }
        #expect(try healthy.echoes())
        let perConnection = (try server.process.statistics().memory - before.memory) / count
        // The time at rest is the subject here, not a wait. Work left over from the accepts may fall
        // into the first second; a server that never rests has none that is free of it.
        var rests: [(switches: Int, ticks: Int)] = []
        repeat {
            let start = try server.process.statistics()
            usleep(1_000_000)
            let end = try server.process.statistics()
            rests.append((end.switches - start.switches, end.ticks - start.ticks))
        } while (rests.last!.switches > 2 || rests.last!.ticks > 0) && rests.count < 5
        print(
            "\(backend): \(perConnection) bytes each of \(count) idle connections;"
                + " (switches, ticks) in each second: \(rests)"
        )
        // The bar is the optimised build's; without it frames are larger, and a task takes one more
        // of its kilobytes.
        #expect(perConnection <= (_isDebugAssertConfiguration() ? 5120 : 4096))
        #expect(rests.last!.switches <= 2 && rests.last!.ticks == 0)
        #expect(try healthy.echoes())
        clients.signal(SIGKILL)
        _ = try clients.waitForExit()
        // All of them are let go, and the healthy one is served meanwhile.
        try Waiting.until("one connection to be left") {
            _ = try? healthy.echoes()
            return server.process.descriptorCount < 100
        } seen: {
            "\(server.process.descriptorCount) descriptors"
        }
        healthy.close()
        #expect(try server.end() == .code(0))
    }
}

extension ChildProcess {
    /// The memory of its own in bytes, its main thread's switches, and its clock ticks.
    fileprivate func statistics() throws -> (memory: Int, switches: Int, ticks: Int) {
        let memory = try Self.number(after: "Private_Dirty:", in: "/proc/\(pid)/smaps_rollup")
        let status = "/proc/\(pid)/status"
        let switches =
            try Self.number(after: "voluntary_ctxt_switches:", in: status)
            + Self.number(after: "nonvoluntary_ctxt_switches:", in: status)
        // Behind the name, which may hold anything: fields 14 and 15 are user and system time.
        let fields =
            try LeakCheck.text(of: "/proc/\(pid)/stat").split(separator: ")").last?
            .split(separator: " ") ?? []
        guard fields.count > 12, let user = Int(fields[11]), let system = Int(fields[12]) else {
            throw Failure("no times in \(fields)")
        }
        return (memory * 1024, switches, user + system)
    }

    private static func number(after name: String, in path: String) throws -> Int {
        let text = try LeakCheck.text(of: path)
        let line = text.split(separator: "\n").first { $0.hasPrefix(name) }
        guard let number = line?.split(whereSeparator: { " \t".contains($0) }).dropFirst().first,
            let value = Int(number)
        else { throw Failure("no \(name) in \(text)") }
        return value
    }
}
