// SPDX-License-Identifier: Apache-2.0
import Glibc
import Synchronization
import TestSupport
import Testing

@Suite("SIGTERM loses nothing", .serialized)
struct ShutdownTests {
    @Test("idle connections end, nobody is reset, the exit code is 0", arguments: Backends.all)
    func idle(backend: String) throws {
        let server = try EchoServer(backend)
        let clients = try (0..<10).map { _ in try server.connect() }
        for (index, client) in clients.enumerated() where index % 2 == 0 {
            try client.send([1, 2, 3])
            #expect(try client.receive(exactly: 3) == [1, 2, 3])
        }
        server.process.signal(SIGTERM)
        for client in clients {
            #expect(try client.receiveAll().isEmpty)
            client.close()
        }
        try server.process.expectExit(.code(0))
    }

    @Test("SIGINT does the same", arguments: Backends.all)
    func interrupt(backend: String) throws {
        let server = try EchoServer(backend)
        let client = try server.connect()
        server.process.signal(SIGINT)
        #expect(try client.receiveAll().isEmpty)
        client.close()
        try server.process.expectExit(.code(0))
    }

    @Test("requests that were written before the signal are answered", arguments: Backends.all)
    func writtenBefore(backend: String) throws {
        for round in 0..<5 {
            let server = try EchoServer(backend)
            let clients = try (0..<20).map { _ in try server.connect() }
            for (index, client) in clients.enumerated() {
                try client.send([UInt8].pattern(5000, seed: index + round))
            }
            server.process.signal(SIGTERM)
            for (index, client) in clients.enumerated() {
                #expect(try client.receiveAll() == [UInt8].pattern(5000, seed: index + round))
                client.close()
            }
            try server.process.expectExit(.code(0))
        }
    }

    @Test(
        "under load nobody is reset and no answer is cut",
        arguments: Backends.all,
        [LoadShape(steady: 200, connecting: 8), LoadShape(steady: 20, connecting: 64)]
    )
    func underLoad(backend: String, shape: LoadShape) throws {
        let server = try EchoServer(backend)
        let tally = LoadTally()
        let port = server.port
        PlainThreads.run(shape.steady + shape.connecting + 1) { index in
            switch index {
            case 0:
                // The signal comes when all are at work: the clients never stop by themselves.
                try? Waiting.until("2,000 answers") { tally.answers >= 2000 }
                server.process.signal(SIGTERM)
            case ...shape.steady: tally.talk(port: port, seed: index)
            default: tally.connectAgainAndAgain(port: port, seed: index)
            }
        }
        try server.process.expectExit(.code(0))
        #expect(tally.answers >= 2000)
        #expect(tally.faults == [], "\(backend) \(shape)")
    }
}

struct LoadShape: Sendable, CustomStringConvertible {
    let steady: Int
    let connecting: Int
    var description: String { "\(steady) steady, \(connecting) connecting" }
}

/// What the clients of a load saw.
final class LoadTally: Sendable {
    private let state = Mutex((answers: 0, faults: [String]()))

    var answers: Int { state.withLock { $0.answers } }
    var faults: [String] { state.withLock { $0.faults } }

    /// Requests on one connection until the server ends it; none where nobody listens any more.
    func talk(port: Int, seed: Int) {
        do {
            let client = try BlockingClient(port: port)
            var round = 0
            while converse(client, seed &+ round) { round &+= 1 }
            client.close()
        } catch let error as BlockingClient.Failure where error.errno == ECONNREFUSED {
            return
        } catch { fault("\(error)") }
    }

    /// One request a connection until nobody listens any more.
    func connectAgainAndAgain(port: Int, seed: Int) {
        for round in 0..<1_000_000 {
            do {
                let client = try BlockingClient(port: port)
                _ = converse(client, seed &+ round)
                client.close()
            } catch let error as BlockingClient.Failure where error.errno == ECONNREFUSED {
                return
            } catch {
                return fault("\(error)")
            }
        }
    }

    /// Whether the answer came whole; an end without a byte of it is allowed, and the last.
    private func converse(_ client: BlockingClient, _ seed: Int) -> Bool {
        let request = [UInt8].pattern(1024, seed: seed)
        do {
            try client.send(request)
            let answer = try client.receive(exactly: request.count)
            if answer.isEmpty { return false }
            guard answer == request else {
                fault("\(answer.count) of \(request.count) bytes, or others")
                return false
            }
            state.withLock { $0.answers += 1 }
            return true
        } catch let error as BlockingClient.Failure where error.errno == EPIPE {
            // The end was there before the request was written.
            return false
        } catch {
            fault("\(error)")
            return false
        }
    }

    private func fault(_ text: String) { state.withLock { $0.faults.append(text) } }
}
