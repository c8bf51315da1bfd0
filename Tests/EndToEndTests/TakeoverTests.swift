// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@Suite("a program that gives its process to Runtime.run")
struct TakeoverTests {
    /// What a probe printed, on one backend.
    @Test(
        "every kind of concurrent code runs on the loop, with no thread of Dispatch's beside",
        arguments: Backends.all
    )
    func executors(backend: String) throws {
        let lines = try Probe.finished("executors", backend).lines
        #expect(
            lines == [
                "body: loop 0", "task: loop 0", "detached: loop 0", "plain actor: loop 0",
                "pinned actor: loop 0", "main actor: loop 0", "concurrent: loop 0",
                "group: loop 0", "sleep: loop 0 early=false",
                // The loop's, the watchdog's, the one that takes signals, the one that writes the log.
                "threads: 4", "dispatch main: loop 0", "ended: 0",
            ]
        )
    }

    @Test("runs follow each other and leave descriptors, threads and signals as they were")
    func twice() throws {
        let lines = try Probe.finished("twice", Backends.all[0]).lines
        #expect(
            lines == [
                "run 1: 1", "run 2: 2", "run 3: 3", "descriptors equal: true",
                "threads equal: true", "SIGTERM default: true",
            ]
        )
    }

    @Test("a nested run and one off the main thread throw a sentence")
    func nested() throws {
        let lines = try Probe.finished("nested", Backends.all[0]).lines
        #expect(lines.count == 2)
        #expect(lines.first?.contains("it began at NoriaProbe/Runs.swift:") == true)
        #expect(lines.last?.contains("call it from a plain 'static func main()'") == true)
    }

    @Test("what resumes after the end of a run is run by the next", arguments: Backends.all)
    func residual(backend: String) throws {
        let lines = try Probe.finished("residual", backend).lines
        #expect(lines.prefix(2) == ["plain resumed: elsewhere", "between"])
        #expect(
            Set(lines.dropFirst(2).dropLast())
                == ["pinned resumed: loop 0", "main resumed: loop 0"]
        )
        #expect(lines.last == "ended")
    }

    @Test("hops between actors and sleeps are counted exactly", arguments: Backends.all)
    func stress(backend: String) throws {
        let lines = try Probe.finished("stress", backend).lines
        #expect(lines == ["plain: 20000", "pinned: 20000", "main: 20000", "slept: 400"])
    }

    @Test("each operation costs the enqueues that were proved possible")
    func enqueues() throws {
        let lines = try Probe.finished("enqueues", Backends.all[0]).lines
        #expect(
            lines == [
                "concurrent call: 0", "default actor and back: 0", "yield: 2", "task value: 2",
                "async let: 2", "group: 2", "cancellation handler: 0",
            ]
        )
    }

    @Test("tasks that never wait keep no client from its answer", arguments: Backends.all)
    func fairness(backend: String) throws {
        let process = try ChildProcess(
            "NoriaProbe",
            ["fairness"],
            environment: ["NORIA_BACKEND": backend]
        )
        let line = try process.output.line(containing: "listening on")
        let port = Int(line.drop { $0 != ":" }.dropFirst()) ?? 0
        let client = try BlockingClient(port: port)
        for round in 0..<200 {
            try client.send([UInt8(round)])
            #expect(try client.receive(exactly: 1) == [UInt8(round)])
        }
        process.signal(SIGKILL)
    }

    @Test("the reading and writing forms keep their promises", arguments: Backends.all)
    func network(backend: String) throws {
        let lines = try Probe.finished("network", backend).lines
        #expect(
            lines == [
                "lines: <one><two><><last>", "long line: tooLong", "frames: 7=hi;8=;9=!;",
                "cut frame: endedEarly", "counts: cbafed", "lent: lent",
                "write after finish: refused", "until end: first", "after finish: still heard",
                "full: outboundFull unsent=100000", "aborted: reset",
                "cancelled read: CancellationError()", "after it: kept",
                "refused: connect to 127.0.0.1:1: connection refused: nobody listens there (ECONNREFUSED)",
                "name: badAddress", "ipv6: six from true", "second reader: alreadyReading",
                "ended: ()",
            ]
        )
    }

    @Test(
        "every stream operation works from a foreign executor and from another loop",
        arguments: ["elsewhere", "other loop"],
        Backends.all
    )
    func elsewhere(probe: String, backend: String) throws {
        let place = probe == "elsewhere" ? "elsewhere" : "loop 1"
        for jobsPerTurn in [nil, "1"] {
            let lines = try Probe.finished(
                probe,
                backend,
                environment: ["NORIA_JOBS_PER_TURN": jobsPerTurn]
            ).lines
            // The two ends talk in an order of their own.
            #expect(
                lines.sorted()
                    == [
                        "lines: <one><two><><last>", "long line: tooLong", "frames: 7=hi;8=;9=!;",
                        "cut frame: endedEarly", "counts: cbafed", "lent: lent",
                        "write after finish: refused", "until end: first",
                        "after finish: still heard", "listener's loop: true", "unsent: 0",
                        "draining: false", "draining: true at \(place)", "rest: end", "in time: 42",
                        "late: nap: not done after 0.02 seconds", "after all: kept",
                        "cancelled from outside: CancellationError()", "place: \(place)",
                        "ended: ()",
                    ].sorted(),
                "jobs per turn: \(jobsPerTurn ?? "61")"
            )
        }
    }

    @Test("misuse ends in an error, and costs nobody his bytes", arguments: Backends.all)
    func misuses(backend: String) throws {
        let lines = try Probe.finished("misuses", backend).lines
        // The two ends talk in an order of their own.
        #expect(
            lines.sorted()
                == [
                    "writer: closed", "finished: true", "second serve: other",
                    "second reader: alreadyReading", "first reader: 10",
                    "closed while accepting: 50", "after a cancel: 4000000", "stranger: done",
                    "after a pause: 4000000", "kept: closed", "ended: 0",
                ].sorted()
        )
    }

    @Test(
        "a completion that comes while an actor's task changes executors is not lost",
        arguments: Backends.all,
        [nil, "1"] as [String?]
    )
    func onActor(backend: String, jobsPerTurn: String?) throws {
        let lines = try Probe.finished(
            "on actor",
            backend,
            environment: ["NORIA_JOBS_PER_TURN": jobsPerTurn]
        ).lines
        #expect(lines == ["echoed: 200", "refused: refused", "ended: ()"])
    }

    @Test("time-outs cancel, name and keep what they should", arguments: Backends.all)
    func timeouts(backend: String) throws {
        let lines = try Probe.finished("timeouts", backend).lines
        #expect(
            lines == [
                "in time: 42", "late: nap: not done after 0.02 seconds", "after all: kept",
                "past: true", "own error: Mistake()", "cancelled from outside: CancellationError()",
                "on an actor: 1", "silent peer: greeting: not done after 0.02 seconds",
                "order: [10, 20, 30]",
            ]
        )
    }

    @Test("a body that throws ends the process with 1 and says what")
    func throwing() throws {
        let process = try ChildProcess("NoriaProbe", ["throws"])
        try process.expectExit(.code(1))
        let errors = try process.errors.all()
        #expect(errors.contains("Mistake()"))
        #expect(errors.contains("ended: the body threw: exit code 1"))
    }

    @Test("what never ends is abandoned at the deadline, with 70")
    func stubborn() throws {
        let process = try ChildProcess("NoriaProbe", ["stubborn"])
        try process.output.line(containing: "running")
        process.signal(SIGTERM)
        try process.expectExit(.code(70))
        #expect(try process.errors.all().contains("abandoned"))
    }
}
