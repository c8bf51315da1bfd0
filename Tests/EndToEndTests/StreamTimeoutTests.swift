// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@Suite("Time-outs of streams end the connection that they are about, and no other", .serialized)
struct StreamTimeoutTests {
    @Test(
        "A client that says nothing reads a last word and the end; one that talks goes on",
        arguments: Backends.all
    )
    func idle(backend: String) throws {
        let server = try LimitServer(backend, "idle=1000")
        // It came first, and would be ended first if its bytes did not count: on the way on which
        // no task is woken.
        let healthy = try server.client("e")
        #expect(try healthy.echoes())
        let silent = try server.client()
        try healthy.echo(untilReadable: silent)
        #expect(try silent.text() == "ERR timedOut\n")
        silent.close()
        #expect(try healthy.echoes())
        // Now it says nothing either.
        #expect(try healthy.text() == "ERR timedOut\n")
        healthy.close()
        try server.waitForConnections(0)
        let errors = try server.errors(2)
        #expect(errors.count == 2, "\(errors)")
        for error in errors {
            #expect(error.contains("read from 127.0.0.1:"))
            #expect(error.contains("(connection "))
            #expect(error.contains("no byte came or went for 1.0 seconds (idleTimeout)"))
        }
        #expect(try server.end() == .code(0))
    }

    @Test(
        "A message that never ends is timed out in each reading form; waiting for one is not",
        arguments: Backends.all
    )
    func read(backend: String) throws {
        let server = try LimitServer(backend, "read=500")
        let healthy = try server.client("e")
        #expect(try healthy.echoes())
        let patient = try server.client("lab")
        #expect(!patient.isReadable(within: 50))
        try patient.send(Array("c\n".utf8))
        #expect(try patient.receive(exactly: 5) == Array("<abc>".utf8))
        let all = try server.client("apart")
        let halves = try ["lhalf", "cabcdab", "f\u{3}abc\u{3}ab", "F\u{3}abc\u{3}ab"].map {
            try server.client($0)
        }
        // Each byte comes in time, the line's end never.
        let trickling = try server.client("lx")
        for _ in 0..<200 where !trickling.isReadable(within: 50) { try trickling.send([0x78]) }
        #expect(try trickling.text() == "ERR timedOut\n")
        let answers = ["", "abcd", "abc", "abc"]
        for (half, answer) in zip(halves, answers) {
            #expect(try half.text() == answer + "ERR timedOut\n")
        }
        // Between two messages there is nothing to time, and `readAll` knows none.
        #expect(!patient.isReadable(within: 600))
        try patient.send(Array("d\n".utf8))
        #expect(try patient.receive(exactly: 3) == Array("<d>".utf8))
        all.endSending()
        #expect(try all.text() == "part")
        #expect(try healthy.echoes())
        let errors = try server.errors(5)
        #expect(errors.count == 5, "\(errors)")
        for error in errors {
            #expect(error.contains("did not end within 0.5 seconds (readTimeout)"), "\(error)")
        }
        for client in halves + [patient, healthy, trickling, all] { client.close() }
        #expect(try server.end() == .code(0))
    }

    @Test(
        "A peer that takes nothing is reset, whether a task waits or not; a slow one is served",
        arguments: Backends.all
    )
    func write(backend: String) throws {
        let server = try LimitServer(backend, "write=1000")
        let healthy = try server.client("e")
        let slow = try server.client("w", receiveBuffer: 4096)
        let deaf = try server.client("w", receiveBuffer: 4096)
        let unasked = try server.client("q", receiveBuffer: 4096)
        let reports = {
            server.process.output.lines.filter { $0.contains("the peer took no byte") }
        }
        try Waiting.until("two time-outs") {
            // It takes what there is, again and again.
            let taken = (try? slow.receive())?.count ?? 0
            return taken == 0 || reports().count >= 2
        } seen: {
            server.process.output.text
        }
        #expect(reports().allSatisfy { $0.contains("for 1.0 seconds (writeTimeout)") })
        #expect(reports().count == 2, "\(reports())")
        #expect(try deaf.endsByReset())
        #expect(try unasked.endsByReset())
        #expect(try slow.receive(exactly: 300_000).count == 300_000)
        #expect(try healthy.echoes())
        for client in [slow, deaf, unasked, healthy] { client.close() }
        #expect(try server.end() == .code(0))
    }

    @Test(
        "The connection of a handler that never returns is reset, and the others are served",
        arguments: Backends.all
    )
    func stuckHandler(backend: String) throws {
        let server = try LimitServer(backend, "idle=1000", "linger=200")
        let healthy = try server.client("e")
        #expect(try healthy.echoes())
        let stuck = try server.client("s")
        try healthy.echo(untilReadable: stuck)
        #expect(try stuck.endsByReset())
        #expect(try healthy.echoes())
        // The handler is still there: only the deadline of a shutdown would end it.
        server.process.signal(SIGKILL)
    }

    @Test("A loop that was late itself times nobody out who has sent", arguments: Backends.all)
    func lateLoop(backend: String) throws {
        let server = try LimitServer(backend, "idle=1000", "read=1000")
        // More than one look at the kernel brings.
        let echoing = try (0..<100).map { _ in try server.client("e") }
        let lines = try (0..<100).map { _ in try server.client("l") }
        for client in echoing { #expect(try client.echoes()) }
        for client in lines {
            try client.send(Array("one\ntw".utf8))
            #expect(try client.receive(exactly: 5) == Array("<one>".utf8))
        }
        server.process.signal(SIGSTOP)
        for client in echoing { try client.send(Array("late".utf8)) }
        for client in lines { try client.send(Array("o\n".utf8)) }
        // Every time is up when it goes on.
        usleep(1_200_000)
        server.process.signal(SIGCONT)
        for client in echoing { #expect(try client.receive(exactly: 4) == Array("late".utf8)) }
        for client in lines { #expect(try client.receive(exactly: 5) == Array("<two>".utf8)) }
        for client in echoing + lines { client.close() }
        #expect(try server.end() == .code(0))
        #expect(!server.process.output.text.contains("timed out"))
    }

    @Test("A time-out that is no time is refused where it is handed over, by a sentence")
    func refused() throws {
        let sentence = "idleTimeout is 0.0 seconds, and must be above 0; nil is for none"
        let range = "network.limits.idleTimeout = 0s in the code is not allowed; it may be 1ms"
        let listener = try ChildProcess("NoriaProbe", ["limits", "idle=0"])
        try listener.expectExit(.code(1))
        let errors = try listener.errors.all()
        #expect(errors.contains("error: listen on 127.0.0.1:"), "\(errors)")
        #expect(errors.contains(": limits: \(sentence)"), "\(errors)")
        let run = try ChildProcess("NoriaProbe", ["limits", "configured", "idle=0"])
        try run.expectExit(.code(78))
        #expect(try run.errors.all().contains(range))
    }

    @Test("Streams and listeners of Unix sockets keep the same limits", arguments: Backends.all)
    func unix(backend: String) throws {
        let folder = try TemporaryFolder()
        let path = "\(folder.path)/limits"
        let process = try ChildProcess(
            "NoriaProbe",
            ["limits", path, "idle=1000", "read=300", "linger=200", "connections=3"],
            environment: ["NORIA_BACKEND": backend, "NORIA_LOOPS": "2"]
        )
        try process.output.line(containing: "listening on ")
        let clients = try ["e", "s", "lhalf", "e"].map { text in
            let client = try BlockingClient(unix: path)
            try client.send(Array(text.utf8))
            return client
        }
        // The limit is three, so the fourth is served when the third has been timed out.
        #expect(try clients[0].echoes())
        #expect(!clients[3].isReadable(within: 20))
        #expect(try clients[2].text() == "ERR timedOut\n")
        clients[2].close()
        #expect(try clients[3].echoes())
        // Its handler never returns, and there is no reset: it reads the end.
        try clients[0].echo(untilReadable: clients[1])
        #expect(try clients[1].text() == "")
        #expect(try clients[0].echoes())
        process.signal(SIGKILL)
    }

    @Test("Silence with bytes unsent ends by a reset", arguments: Backends.all)
    func idleWithBytesUnsent(backend: String) throws {
        let server = try LimitServer(backend, "idle=1000")
        let healthy = try server.client("e")
        #expect(try healthy.echoes())
        let deaf = try server.client("w", receiveBuffer: 4096)
        try Waiting.until("the time-out") {
            _ = try? healthy.echoes()
            return server.process.output.text.contains("(idleTimeout)")
        } seen: {
            server.process.output.text
        }
        #expect(try deaf.endsByReset())
        #expect(try healthy.echoes())
        for client in [deaf, healthy] { client.close() }
        #expect(try server.end() == .code(0))
    }
}
