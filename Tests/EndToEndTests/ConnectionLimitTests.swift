// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@Suite("At a limit clients wait in the kernel's queue, and nobody is turned away", .serialized)
struct ConnectionLimitTests {
    @Test("As many as allowed are served, the next when one has left", arguments: Backends.all)
    func limit(backend: String) throws {
        let server = try LimitServer(backend, "connections=2")
        let clients = try (0..<6).map { _ in try server.client("e") }
        for index in clients.indices {
            #expect(try clients[index].echoes("client \(index)"))
            guard index >= 1 else { continue }
            // The two are there, and a look at the kernel later still nobody else is.
            #expect(try clients[index - 1].echoes())
            try server.waitForConnections(2)
            if index + 1 < clients.count { #expect(!clients[index + 1].isReadable(within: 20)) }
            clients[index - 1].close()
        }
        clients.last?.close()
        try server.waitForConnections(0)
        #expect(try server.end() == .code(0))
    }

    @Test("A drain at the limit answers those who wait in the queue", arguments: Backends.all)
    func drain(backend: String) throws {
        let server = try LimitServer(backend, "connections=2")
        let served = try (0..<2).map { _ in try server.client("e") }
        for client in served { #expect(try client.echoes()) }
        let queued = try (0..<10).map { index in
            try server.client(index % 2 == 0 ? "lrequest \(index)\n" : "")
        }
        server.process.signal(SIGTERM)
        for (index, client) in queued.enumerated() {
            #expect(try client.text() == (index % 2 == 0 ? "<request \(index)>" : ""))
            client.close()
        }
        for client in served {
            #expect(try client.receiveAll() == [])
            client.close()
        }
        try server.process.expectExit(.code(0))
    }

    @Test("Two loops have one limit together", arguments: Backends.all)
    func loops(backend: String) throws {
        let server = try LimitServer(backend, loops: 2, "connections=3")
        var clients = try (0..<30).map { _ in try server.client("ex") }
        var servedCount = 0
        let end = ContinuousClock.now + .seconds(10)
        while !clients.isEmpty, ContinuousClock.now < end {
            // Whoever is served; which loop has a queue is the kernel's choice.
            guard let index = clients.firstIndex(where: { $0.isReadable(within: 5) }) else {
                continue
            }
            let served = clients.filter { $0.isReadable(within: 0) }
            #expect(served.count <= 3)
            #expect(try clients[index].receive(exactly: 1).count == 1)
            clients.remove(at: index).close()
            servedCount += 1
        }
        #expect(servedCount == 30)
        #expect(try server.end() == .code(0))
    }

    @Test("A reset or timed-out connection makes room, too", arguments: Backends.all)
    func room(backend: String) throws {
        let server = try LimitServer(backend, "connections=1", "idle=500")
        let silent = try server.client()
        let wild = try server.client("e")
        let next = try server.client("e")
        #expect(try silent.text() == "ERR timedOut\n")
        silent.close()
        #expect(try wild.echoes())
        wild.abort()
        #expect(try next.echoes())
        next.close()
        #expect(try server.end() == .code(0))
    }

    @Test(
        "Without a descriptor left the next client is served as soon as one has left",
        arguments: Backends.all
    )
    func descriptors(backend: String) throws {
        // The run raises the soft limit to the hard one, so both are low.
        let process = try ChildProcess(
            "/bin/sh",
            [
                "-c",
                "ulimit -n 14; exec \(ChildProcess.productFolder)/noria echo --port 0"
                    + " --backend \(backend)",
            ]
        )
        let line = try process.output.line(containing: "listening on ")
        let port = Int(line.drop { $0 != ":" }.dropFirst().prefix { $0.isNumber }) ?? 0
        var clients = try (0..<20).map { _ in try BlockingClient(port: port) }
        try process.errors.line(containing: "no file descriptor is left")
        // A back-off of 100 ms for each of the last 100 would take ten seconds.
        let begin = ContinuousClock.now
        for round in 0..<100 {
            let client = clients.removeFirst()
            #expect(try client.echoes("round \(round)"))
            client.close()
            clients.append(try BlockingClient(port: port))
        }
        #expect(ContinuousClock.now - begin < .seconds(5))
        for client in clients {
            #expect(try client.echoes())
            client.close()
        }
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }

    @Test("The limit of descriptors is raised for the run, and given back", arguments: [200])
    func raised(soft: Int) throws {
        let process = try ChildProcess(
            "/bin/sh",
            [
                "-c",
                "ulimit -Sn \(soft); exec \(ChildProcess.productFolder)/NoriaProbe descriptors",
            ]
        )
        try process.expectExit(.code(0))
        #expect(
            try process.output.all().split(separator: "\n") == [
                "before: \(soft)", "in the run: raised", "original: \(soft)",
                "forked child: \(soft)", "spawned child: raised", "advised: \(soft)",
                "after: \(soft)", "forked child after: \(soft)",
            ]
        )
        #expect(try process.errors.all().contains("descriptors: the limit was \(soft), and is"))
    }
}
