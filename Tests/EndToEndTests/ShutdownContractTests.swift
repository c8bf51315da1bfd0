// SPDX-License-Identifier: Apache-2.0
import Glibc
import Synchronization
import TestSupport
import Testing

/// DESIGN §6: a request written whole before the signal is answered whole; one written later is
/// answered whole, or its connection ends by FIN without a byte of an answer; never a reset.
@Suite("SIGTERM keeps the contract, request by request", .serialized)
struct ShutdownContractTests {
    @Test(
        "Under load each request written before the signal has its answer, and nobody is reset",
        arguments: Backends.all,
        [20, 64, 200].flatMap { [Crowd(count: $0, isIPv6: false), Crowd(count: $0, isIPv6: true)] }
    )
    func underLoad(backend: String, crowd: Crowd) throws {
        let host = crowd.isIPv6 ? ["--host", "::1"] : []
        let server = try EchoServer(backend, arguments: host)
        let connectionCount = crowd.count
        let load = ClosedLoop(
            port: server.port,
            isIPv6: crowd.isIPv6,
            connectionCount: connectionCount
        )
        PlainThreads.run(connectionCount + ClosedLoop.connectorCount + 1) { index in
            if index == 0 {
                load.whenAllAreAtWork { server.process.signal(SIGTERM) }
            } else {
                load.run(index)
            }
        }
        try server.process.expectExit(.code(0))
        let tally = load.tally
        #expect(tally.faults == [], "\(backend), \(crowd): \(tally)")
        // The load was one, before the signal.
        let least = (connectionCount + ClosedLoop.connectorCount) * ClosedLoop.warmUpCount
        #expect(tally.answered >= least, "\(tally)")
        print("\(backend), \(crowd): \(tally)")
    }

    @Test(
        "A message whose last part comes after the signal is echoed in order, then ended by FIN",
        arguments: Backends.all
    )
    func halfSent(backend: String) throws {
        let server = try EchoServer(backend)
        let client = try server.connect()
        let message = [UInt8].pattern(200 * 1024)
        let (first, last) = (Array(message[..<150_000]), Array(message[150_000...]))
        try client.send(first)
        #expect(try client.receive(exactly: first.count) == first)
        server.process.signal(SIGTERM)
        try server.process.errors.line(containing: "shutdown: SIGTERM")
        // The server may have ended the connection: writing then fails or goes unheard.
        let wasSent = (try? client.send(last)) != nil
        client.endSending()
        let answer = try client.receiveAll()
        #expect(answer.isEmpty || (wasSent && answer == last), "\(answer.count) of \(last.count)")
        client.close()
        try server.process.expectExit(.code(0))
    }

    @Test(
        "200 KiB written whole before the signal are answered whole to one who has not read",
        arguments: Backends.all
    )
    func unread(backend: String) throws {
        let server = try EchoServer(backend)
        let client = try server.connect(receiveBuffer: 4096)
        let message = [UInt8].pattern(200 * 1024)
        try client.send(message)
        server.process.signal(SIGTERM)
        try server.process.errors.line(containing: "shutdown: SIGTERM")
        let answer = try client.receiveAll()
        #expect(answer == message, "\(answer.count) of \(message.count)")
        client.close()
        try server.process.expectExit(.code(0))
    }

    @Test(
        "Clients that wait for a descriptor at the signal are answered, then ended",
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
        let clients = try (0..<30).map { _ in try BlockingClient(port: port) }
        for (index, client) in clients.enumerated() { try client.send([UInt8(index)]) }
        try process.errors.line(containing: "no file descriptor is left")
        process.signal(SIGTERM)
        try process.errors.line(containing: "shutdown: SIGTERM")
        for (index, client) in clients.enumerated() {
            #expect(try client.receiveAll() == [UInt8(index)])
            client.close()
        }
        try process.expectExit(.code(0))
    }

    @Test(
        "A request that meets the end of an idle connection is not reset",
        arguments: Backends.all
    )
    func meetsTheEnd(backend: String) throws {
        let server = try EchoServer(backend)
        let clients = try (0..<20).map { _ in try server.connect() }
        for client in clients {
            try client.send([1])
            #expect(try client.receive(exactly: 1) == [1])
        }
        server.process.signal(SIGTERM)
        for client in clients {
            #expect(try client.receiveAll().isEmpty)
            // On its way when the end came: a reset would be here when the first send returns.
            try client.send([2])
            try client.send([3])
            #expect(try client.receiveAll().isEmpty)
            client.close()
        }
        try server.process.expectExit(.code(0))
    }

    @Test("Connections that were never accepted are not reset", arguments: Backends.all)
    func backlog(backend: String) throws {
        let server = try EchoServer(backend)
        // Stopped, the server accepts nothing; the kernel connects the clients all the same.
        server.process.signal(SIGSTOP)
        let clients = try (0..<50).map { _ in try server.connect() }
        for (index, client) in clients.enumerated() {
            try client.send(.pattern(1000, seed: index))
        }
        server.process.signal(SIGTERM)
        server.process.signal(SIGCONT)
        for (index, client) in clients.enumerated() {
            #expect(try client.receiveAll() == .pattern(1000, seed: index))
            client.close()
        }
        try server.process.expectExit(.code(0))
    }

    @Test(
        "Nobody can connect once it drains, and those who talk are answered",
        arguments: Backends.all
    )
    func refusesNew(backend: String) throws {
        let server = try EchoServer(backend)
        let deaf = try server.connect(receiveBuffer: 4096)
        // It keeps the drain waiting: its answer can't be sent.
        while try deaf.sendWithoutWaiting(.pattern(65_536)) > 0 {}
        server.process.signal(SIGTERM)
        try server.process.errors.line(containing: "shutdown: SIGTERM")
        try Waiting.until("a refused connection") {
            do {
                try BlockingClient(port: server.port).close()
                return false
            } catch let error as BlockingClient.Failure { return error.errno == ECONNREFUSED } catch
            {
                return false
            }
        }
        deaf.abort()
        try server.process.expectExit(.code(0))
    }

    @Test(
        "A second SIGTERM cuts the drain short, and the process ends by that signal",
        arguments: Backends.all
    )
    func secondSignal(backend: String) throws {
        let server = try EchoServer(backend)
        let deaf = try server.connect(receiveBuffer: 4096)
        while try deaf.sendWithoutWaiting(.pattern(65_536)) > 0 {}
        server.process.signal(SIGTERM)
        try server.process.errors.line(containing: "shutdown: SIGTERM")
        // Within 200 ms a second one counts as the same: it must not cut anything short.
        server.process.signal(SIGTERM)
        // This pause is no wait for an event: the time itself is what tells two signals apart.
        usleep(300_000)
        let early = server.process.errors.lines.filter { $0.contains("cancelling") }
        #expect(early == [])
        server.process.signal(SIGTERM)
        try server.process.errors.line(containing: "cancelling")
        try server.process.expectExit(.signal(SIGTERM))
    }
}

struct Crowd: Sendable, CustomStringConvertible {
    let count: Int
    let isIPv6: Bool
    var description: String { "\(count) connections by \(isIPv6 ? "IPv6" : "IPv4")" }
}

/// Clients that never stop by themselves: each sends, waits for its answer, sends again.
private final class ClosedLoop: Sendable {
    /// Beside the steady connections: those that connect anew for each request.
    static let connectorCount = 8
    /// Answers that each client has had before the signal comes.
    static let warmUpCount = 5

    struct Tally: CustomStringConvertible {
        var answered = 0
        /// Requests written after the signal whose connection ended without an answer.
        var endedAfter = 0
        var faults: [String] = []
        var description: String {
            "\(answered) answered, \(endedAfter) ended after the signal, faults: \(faults)"
        }
    }

    private let port: Int
    private let isIPv6: Bool
    private let connectionCount: Int
    private let atWork: Gate
    private let signalled = Atomic<UInt64>(.max)
    private let state = Mutex(Tally())

    init(port: Int, isIPv6: Bool, connectionCount: Int) {
        self.port = port
        self.isIPv6 = isIPv6
        self.connectionCount = connectionCount
        atWork = Gate(count: connectionCount + Self.connectorCount)
    }

    var tally: Tally { state.withLock { $0 } }

    func whenAllAreAtWork(_ signal: () -> Void) {
        do { try atWork.wait(for: "all clients to be at work") } catch { fault("\(error)") }
        // Before the signal: a request that was written by now was written before it.
        signalled.store(Self.now, ordering: .sequentiallyConsistent)
        signal()
    }

    func run(_ index: Int) {
        if index <= connectionCount { talk(index) } else { connectAgainAndAgain(index) }
    }

    private func talk(_ index: Int) {
        guard let client = try? BlockingClient(port: port, isIPv6: isIPv6) else {
            atWork.pass()
            return fault("not connected")
        }
        var round = 0
        while converse(client, index &* 1000 &+ round) { pass(&round) }
        if round < Self.warmUpCount { atWork.pass() }
        client.close()
    }

    private func connectAgainAndAgain(_ index: Int) {
        var round = 0
        defer { if round < Self.warmUpCount { atWork.pass() } }
        while true {
            do {
                let client = try BlockingClient(port: port, isIPv6: isIPv6)
                if converse(client, index &* 1000 &+ round) { pass(&round) }
                client.close()
            } catch let error as BlockingClient.Failure where error.errno == ECONNREFUSED {
                if Self.now < signalled.load(ordering: .sequentiallyConsistent) {
                    fault("refused before the signal")
                }
                return
            } catch {
                return fault("\(error)")
            }
        }
    }

    private func pass(_ round: inout Int) {
        round += 1
        if round == Self.warmUpCount { atWork.pass() }
    }

    /// One request; false when the connection has ended.
    private func converse(_ client: BlockingClient, _ seed: Int) -> Bool {
        let request = [UInt8].pattern(512, seed: seed)
        var written: UInt64 = .max
        do {
            try client.send(request)
            written = Self.now
            let answer = try client.receive(exactly: request.count)
            if answer == request {
                state.withLock { $0.answered += 1 }
                return true
            }
            if answer.isEmpty, written >= signalled.load(ordering: .sequentiallyConsistent) {
                state.withLock { $0.endedAfter += 1 }
            } else {
                fault("\(answer.count) of \(request.count) bytes, or others")
            }
        } catch let error as BlockingClient.Failure where error.errno == EPIPE {
            // The end was there before the request was written.
            state.withLock { $0.endedAfter += 1 }
        } catch {
            fault("\(error)")
        }
        return false
    }

    private func fault(_ text: String) { state.withLock { $0.faults.append(text) } }

    private static var now: UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    }
}
