// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@Suite("what a runtime offers beside its sockets")
struct RuntimeTests {
    @Test(
        "spawned tasks run where they should, and their errors are logged",
        arguments: Backends.all
    )
    func spawn(backend: String) throws {
        let (lines, errors) = try Probe.finished("spawn", backend)
        #expect(
            lines == [
                "once: loop 0", "name: once numbered: true", "on main: loop 0",
                "here: loop 0 here", "cancelled: ended",
                "third run after two that failed: true", "missed ticks skipped: true",
                "one run at a time: true", "ended: () []",
            ]
        )
        let logged = errors.split(separator: "\n").filter { $0.contains("the spawned task threw") }
        #expect(logged.filter { $0.contains(" fails: ") && $0.contains("Mistake()") }.count == 1)
        // Nobody had asked for an end: that it gave up is its own error.
        #expect(logged.filter { $0.contains(" gives up: ") }.count == 1)
        #expect(logged.filter { $0.contains(" fails again: ") }.count == 3)
        #expect(logged.count == 5, "\(errors)")
    }

    @Test("a run ends when its spawned tasks have, cancelled if need be", arguments: Backends.all)
    func spawnAtShutdown(backend: String) throws {
        let (lines, errors) = try Probe.finished("spawn at shutdown", backend)
        #expect(
            lines == [
                "cleaned up: true", "report: the body returned 0",
                #"cancelled: ["sleeper", "cleaner"]"#, "nothing to cancel: []", "too late: 0",
            ]
        )
        let logged = errors.split(separator: "\n").filter { $0.contains("the spawned task threw") }
        #expect(logged.count == 1 && logged.first?.contains("last words: ") == true, "\(errors)")
        #expect(errors.contains("too late: not started: the runtime has ended"))
    }

    @Test("each caller gets each signal, and the end with the shutdown", arguments: Backends.all)
    func signals(backend: String) throws {
        let process = try ChildProcess(
            "NoriaProbe",
            ["signals"],
            environment: ["NORIA_BACKEND": backend]
        )
        try process.output.line(containing: "ready")
        for (number, name) in [(SIGHUP, "SIGHUP"), (SIGUSR1, "SIGUSR1")] {
            process.signal(number)
            for caller in ["a", "b"] { try process.output.line(containing: "\(caller): \(name)") }
        }
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
        let lines = try process.output.all().split(separator: "\n").map(String.init)
        #expect(
            lines.sorted() == [
                "SIGHUP default, SIGUSR1 ignored", "a: SIGHUP", "a: SIGUSR1", "a: ended",
                "b: SIGHUP", "b: SIGUSR1", "b: ended", "exit code: 0", "ready", "too late: ended",
            ]
        )
    }

    @Test("a signal that nobody awaits any more ends the process again", arguments: Backends.all)
    func signalGivenBack(backend: String) throws {
        let process = try ChildProcess(
            "NoriaProbe",
            ["signal given back"],
            environment: ["NORIA_BACKEND": backend]
        )
        try process.output.line(containing: "ready")
        process.signal(SIGUSR2)
        try process.output.line(containing: "none left: default")
        process.signal(SIGUSR2)
        try process.expectExit(.signal(SIGUSR2))
        let lines = try process.output.all().split(separator: "\n").map(String.init)
        #expect(
            lines == [
                "ready", "got SIGUSR2", "one left: caught", "cancelled: true",
                "none left: default",
            ]
        )
    }

    @Test("who asks for SIGTERM gets it as the last, and it still ends the process in order")
    func shutdownSignal() throws {
        for backend in Backends.all {
            let process = try ChildProcess(
                "NoriaProbe",
                ["shutdown signal"],
                environment: ["NORIA_BACKEND": backend]
            )
            try process.output.line(containing: "ready")
            process.signal(SIGTERM)
            try process.expectExit(.code(0))
            let lines = try process.output.all().split(separator: "\n").map(String.init)
            #expect(lines == ["ready", "got SIGTERM", "ended in phase draining"])
        }
    }

    @Test(
        "what can't be caught is logged, what comes together comes once each",
        arguments: Backends.all
    )
    func signalEdges(backend: String) throws {
        let (lines, errors) = try Probe.finished("signals at the edges", backend)
        #expect(
            lines == [
                #"together: ["SIGHUP", "SIGUSR1"]"#, "on main: SIGHUP", "never: ended",
                "exit code: 0",
            ]
        )
        let line = errors.split(separator: "\n").first { $0.contains("never to come") }
        let names = ["SIGKILL", "SIGSEGV", "SIGPIPE"] + [0, -1, 64, 1000].map { "signal \($0)" }
        for name in names {
            #expect(line?.contains("\(name): it can't be caught") == true, "\(name)")
        }
    }

    @Test("the runtime's clock is never early and leaves no timer", arguments: Backends.all)
    func clock(backend: String) throws {
        let (lines, _) = try Probe.finished("clock", backend)
        let cancelled = "failure(Swift.CancellationError())"
        #expect(
            lines == [
                "early: false", "past: loop 0", "order: [10, 20, 30]",
                "cancelled early: CancellationError()", "cancelled late: CancellationError()",
                "for ever: \(cancelled)", "no timer left", "early: false", "elsewhere: elsewhere",
                "cancelled: \(cancelled)", "on main: loop 0", "ended: ()",
            ]
        )
    }

    @Test("a loop's numbers can be read by anyone at any time", arguments: Backends.all)
    func snapshot(backend: String) throws {
        let (lines, _) = try Probe.finished("snapshot", backend)
        #expect(
            lines == [
                "index: 0 connections: 0", "both ends open: 2", "turns go on: true",
                "completions: true", "high water: true", "all closed", "local: true",
                "none remote: true", "remote: 1000", "at most a wakeup each: true", "depth: 0",
                "woken: true", "timers: 50",
                "from outside: 1 running", "backend: true", "check: backend",
                "check: default executor", "check: optimised build", "check: debug",
                "check: signals and deadline",
                "check: exception handler", "ended: ()",
                "from the begin: true",
            ]
        )
    }

    @Test("the start is one line, and what was changed or misspelt is named once")
    func startLines() throws {
        let server = try EchoServer(
            Backends.all[0],
            environment: [
                "NORIA_JOBS_PER_TURN": "30", "NORIA_SHUTDOWN_DEADLNE": "3s", "NORIA_X": "1",
            ]
        )
        #expect(try server.end() == .code(0))
        let lines = try server.process.errors.all().split(separator: "\n")
        let started = lines.filter { $0.contains("started: ") }
        #expect(started.count == 1)
        for name in ["backend: \(Backends.all[0])", "optimised build: ", "SIGINT,SIGTERM within"] {
            #expect(started.first?.contains(name) == true, "\(name)")
        }
        let changed = lines.filter { $0.contains("configuration: ") }
        #expect(changed.count == 1)
        #expect(changed.first?.contains("loops.jobsPerTurn=30 (environment)") == true)
        let unknown = lines.filter { $0.contains("variables that nothing reads") }
        #expect(unknown.count == 1)
        let meant = "NORIA_SHUTDOWN_DEADLNE (is NORIA_SHUTDOWN_DEADLINE meant?), NORIA_X (is "
        #expect(unknown.first?.contains(meant) == true, "\(unknown)")
    }
}
