// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@Suite("a pool of worker processes")
struct ProcessPoolTests {
    /// What a probe printed, on one backend.
    @Test(
        "runs typed calls, and each way for a worker to end costs its own call",
        arguments: Backends.all
    )
    func plain(backend: String) throws {
        let lines = try Probe.finished("process pool", backend).lines
        #expect(
            lines == [
                "before the runtime", "snapshot before: true",
                "text: hello, another process: true", "box: [1.5, inf]", "nested: 7",
                "hidden: HiddenCall: a worker can't find this type: make it internal, neither"
                    + " private nor inside a function, and a part of the workers' program",
                "trap: killed(signal: \(Self.trap))", "kill: killed(signal: SIGKILL)",
                "throwing: callFailed", "talk: killed(signal: SIGABRT)", "trap said: true",
                "talk said: true", "exit: exited(code: 3)", "round trips: 9",
                "calls: 16, failures: 7", "deaths: 6, replacements: 6",
            ]
        )
    }

    @Test("a call ends early by time, size, a full queue and cancellation", arguments: Backends.all)
    func ends(backend: String) throws {
        let lines = try Probe.finished("process ends", backend).lines
        #expect(
            lines == [
                "large call: frameTooLarge", "large result: frameTooLarge", "timed out: timedOut",
                "another worker: true", "timed out in the queue: timedOut", "one more: queueFull",
                "cancelled in the queue: CancellationError()", "still running: true",
                "running: sleep, behind: sleep", "scribble: frameTooLarge", "after it: sleep",
            ]
        )
    }

    @Test("a cancelled call ends its worker only when that was asked for", arguments: Backends.all)
    func cancelling(backend: String) throws {
        let lines = try Probe.finished("process cancelling", backend).lines
        #expect(
            lines == [
                "let finish: CancellationError()", "let finish: same worker: true",
                "let finish: deaths: 0", "kill: CancellationError()", "kill: same worker: false",
                "kill: deaths: 1",
            ]
        )
    }

    @Test(
        "after three deaths without a result the pool rests, and says so",
        arguments: Backends.all
    )
    func resting(backend: String) throws {
        let trap = "trap: killed(signal: \(Self.trap))"
        #expect(
            try Probe.finished("process resting", backend).lines == [
                trap, trap, trap, "resting: true", "refused: resting", "after the rest: back",
                "resting: false",
            ]
        )
    }

    @Test("a worker that is refused memory is told from one that traps", arguments: Backends.all)
    func memory(backend: String) throws {
        #expect(
            try Probe.finished("process memory", backend).lines == [
                "before: small", "greedy: outOfMemory", "trap: killed(signal: \(Self.trap))",
                "after: small",
            ]
        )
    }

    @Test("a program that is missing, or no worker, is named in the error", arguments: Backends.all)
    func strangers(backend: String) throws {
        let lines = try Probe.finished("process strangers", backend).lines
        #expect(
            lines == [
                "startFailed: EchoCall: /no/such/worker can't be started: No such file or directory"
                    + " (ENOENT)",
                "startFailed: EchoCall: /tmp can't be started: Permission denied (EACCES)",
                "startFailed: EchoCall: /bin/true ended with exit code 0 before it reached"
                    + " Runtime.main",
                "startFailed: EchoCall: /usr/bin/yes did not reach Runtime.main within 0.3 seconds"
                    + " ('helloTimeout')",
            ]
        )
    }

    @Test(
        "each error says what went wrong, with which call, and what to do",
        arguments: Backends.all
    )
    func words(backend: String) throws {
        let lines = try Probe.finished("process words", backend).lines
        #expect(
            lines == [
                "FateCall: it threw: Mistake()",
                "FateCall: its result has 5002 bytes, more than 'frameByteCountLimit' allows"
                    + " (4096); pass a file's path instead",
                "BoxCall<String>: it has 5039 bytes, more than 'frameByteCountLimit' allows"
                    + " (4096); pass a file's path instead",
                "FateCall: the worker ended itself with exit code 3",
                "FateCall: the worker was ended by SIGKILL from outside; by the kernel when memory"
                    + " runs out",
                "FateCall: 1 calls wait already ('queueLimit')",
                "FateCall: not done after 1.0 seconds; its worker was ended",
                "EchoCall: a worker can't find this type: make it internal, neither private nor"
                    + " inside a function, and a part of the workers' program",
                "deaths: 0",
                "EchoCall: the runtime has ended, or ends, and its workers with it",
                "ended: true",
            ]
        )
    }

    @Test(
        "a variable of the environment alone makes nobody a worker",
        arguments: ["1 \(getpid()) 4096 0", "1 \(getpid()) 4096", "2 1 1 1", "", "1 -1 4096 0"]
    )
    func forged(seat: String) throws {
        let process = try ChildProcess(
            "EmbeddedProbe",
            [],
            environment: ["NORIA_WORKER_SEAT": seat]
        )
        try process.expectExit(.code(64))
        #expect(try process.output.all().hasPrefix("usage: "))
    }

    @Test("a worker has its socket and no other descriptor, and lives through signals of the group")
    func strays() throws {
        for backend in Backends.all {
            #expect(
                try Probe.finished("process strays", backend).lines == [
                    "open: 0=/dev/null 1=pipe 2=pipe 3=socket", "kept: true, port: true",
                    "signalled: sleep, deaths: 0",
                ]
            )
        }
    }

    @Test("workers that wait and workers that compute go within a second of their parent's SIGKILL")
    func orphans() throws {
        for backend in Backends.all {
            let process = try ChildProcess(
                "NoriaProbe",
                ["process orphans"],
                environment: ["NORIA_BACKEND": backend]
            )
            let line = try process.output.line(containing: "workers ")
            let workers = line.split(separator: " ").compactMap { Int32($0) }
            #expect(workers.count == 3)
            #expect(workers.allSatisfy { Self.runs($0) })
            process.signal(SIGKILL)
            try Waiting.until(
                "the workers to go",
                seconds: 1,
                { !workers.contains { Self.runs($0) } },
                seen: { "\(workers.filter { Self.runs($0) })" }
            )
        }
    }

    /// Whether it is there and has not ended: its new parent may be slow to wait for it.
    private static func runs(_ pid: Int32) -> Bool {
        guard let text = try? LeakCheck.text(of: "/proc/\(pid)/stat") else { return false }
        return text.split(separator: ")").last?.split(separator: " ").first != "Z"
    }

    @Test("a shutdown lets the calls in hand end, and leaves no worker", arguments: Backends.all)
    func drained(backend: String) throws {
        let process = try ChildProcess(
            "NoriaProbe",
            ["process drained"],
            environment: ["NORIA_BACKEND": backend]
        )
        try process.output.line(containing: "busy")
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
        let lines = try process.output.all().split(separator: "\n")
        #expect(lines == ["busy", "sleep", "sleep", "sleep", "sleep", "one more: sleep"])
        // A worker would hold the pipe open: its end is the workers'.
        #expect(try process.errors.all().contains("exit code 0, 1 drained, 0 cancelled"))
    }

    @Test("an embedded runtime has workers, too", arguments: Backends.all)
    func embedded(backend: String) throws {
        let process = try ChildProcess(
            "EmbeddedProbe",
            ["processes"],
            environment: ["NORIA_BACKEND": backend]
        )
        try process.expectExit(.code(0))
        #expect(try process.output.all() == "sum: 5050, elsewhere: true\n")
    }

    @Test(
        "ten thousand calls, one in a hundred of which ends its worker, are answered once each",
        arguments: Backends.all
    )
    func work(backend: String) throws {
        let arguments = ["--workers", "3", "--calls", "10000", "--crash-rate", "1%"]
        let process = try ChildProcess("noria", ["work"] + arguments + ["--backend", backend])
        try process.expectExit(.code(0), seconds: 120)
        let line = try process.output.all()
        let errors = try process.errors.all()
        func number(_ key: String) -> Int? {
            line.firstRange(of: "\"\(key)\":").flatMap {
                Int(line[$0.upperBound...].prefix { $0.isNumber })
            }
        }
        #expect(line.first == "{" && line.last == "\n" && line.count { $0 == "\n" } == 1, "\(line)")
        #expect(number("calls") == 10_000)
        #expect((number("results") ?? 0) + (number("errors") ?? 0) == 10_000, "\(line)")
        // 100 are expected; 30 and fewer happen once in 10^16 runs.
        #expect((number("deaths") ?? 0) > 30, "\(line)")
        #expect(number("replaced") == number("deaths"), "\(line)")
        // One may have ended while the pool rested, which refuses calls that killed nobody.
        #expect((number("errors") ?? 0) >= (number("deaths") ?? .max), "\(line)")
        if !errors.contains("die one after the other") {
            #expect(number("errors") == number("deaths"), "\(line)")
        }
        #expect(number("lost") == 0 && number("zombies") == 0, "\(line)")
        #expect(errors.contains("of 10000 calls:"))
        #expect(errors.contains(/round trip p50 [1-9][0-9]* us, p99 [1-9][0-9]* us/), "\(errors)")
    }

    @Test(
        "noria work refuses what it can't do, in words",
        arguments: [
            ["--workers", "0"], ["--calls", "0"], ["--crash-rate", "1.5"],
            ["--crash-rate", "101%"],
            ["--backend", "kqueue"],
        ]
    )
    func usage(arguments: [String]) throws {
        let process = try ChildProcess("noria", ["work"] + arguments)
        try process.expectExit(.code(64))
        #expect(try process.errors.all().contains("'\(arguments[0]) \(arguments[1])'"))
    }

    /// What the compiler traps with: `ud2` is SIGILL, `brk` SIGTRAP.
    private static var trap: String {
        #if arch(x86_64)
        "SIGILL"
        #else
        "SIGTRAP"
        #endif
    }
}
