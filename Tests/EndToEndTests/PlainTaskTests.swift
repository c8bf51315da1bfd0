// SPDX-License-Identifier: Apache-2.0
import Glibc
import NoriaSystem
import TestSupport
import Testing

@Suite("errors that nobody awaits are met once, and live tasks are listed", .serialized)
struct PlainTaskTests {
    /// `Scripts/long` asks for 200,000.
    private static let count = getenv("NORIA_FAILING_TASKS").map { String(cString: $0) } ?? "20000"

    @Test(
        "each of 20,000 tasks that fail is reported, and none twice",
        arguments: Backends.all,
        ["1", "4"]
    )
    func failing(backend: String, loops: String) throws {
        let count = Self.count
        let (lines, _) = try Probe.finished(
            "plain errors",
            backend,
            arguments: [count],
            environment: ["NORIA_LOOPS": loops]
        )
        #expect(
            lines == [
                "before the end: true", "ended: ()", "reported: \(count) of \(count)", "twice: 0",
                "counts: \(count) uncaught errors (\(count) reported, 0 held back)",
                "cancelled: []",
            ]
        )
    }

    @Test("what somebody awaits, or a scope owns, is not reported", arguments: Backends.all)
    func awaited(backend: String) throws {
        let (lines, _) = try Probe.finished("plain errors awaited", backend)
        #expect(
            lines == [
                "ended: ()", "reported: [:]",
                "counts: 0 uncaught errors (0 reported, 0 held back)",
            ]
        )
    }

    @Test(
        "what fails at the end is counted, what is cancelled is no error",
        arguments: Backends.all
    )
    func atShutdown(backend: String) throws {
        let (lines, errors) = try Probe.finished("plain errors at shutdown", backend)
        #expect(
            lines == [
                "ended: ()", "sum: 10101", "held back: true",
                #"cancelled: ["300 plain tasks"]"#,
            ]
        )
        #expect(errors.contains("10101 uncaught errors ("))
        let logged = errors.split(separator: "\n").filter { $0.contains("Mistake(") }
        #expect(logged.count <= 60, "\(logged.count) lines")
    }

    @Test("a handler is told who threw, in the task's own locals", arguments: Backends.all)
    func kinds(backend: String) throws {
        let (lines, errors) = try Probe.finished("error kinds", backend)
        #expect(
            Set(lines) == [
                "plain: task plain numbered true loop 0 connection false request r1",
                "detached: task - numbered true loop 0 connection false request none",
                "on main: task - numbered true loop 0 connection false request r1",
                "spawned: task once numbered true loop 0 connection false request r1",
                "every: task again numbered true loop 0 connection false request r1",
                "handler: task - numbered true loop 0 connection true request none",
                "CancellationError(): task - numbered true loop 0 connection false request none",
                "served: true", "ended: () 7 uncaught errors (7 reported, 0 held back)",
            ],
            "\(errors)"
        )
        #expect(lines.count == 9)
    }

    @Test("a handler that fails is not called for it: the log is", arguments: Backends.all)
    func failingHandler(backend: String) throws {
        let (lines, errors) = try Probe.finished("failing handler", backend)
        #expect(
            lines == [
                "the loop goes on: loop 0", "ended: ()",
                "calls: 2 12 uncaught errors (12 reported, 0 held back)",
            ]
        )
        let logged = errors.split(separator: "\n").filter {
            $0.contains("the handler of uncaught errors has failed: ")
        }
        #expect(logged.count == 10, "\(errors)")
        for name in ["inherits", "detached", "immediate", "grandchild", "spawned"] {
            #expect(logged.count { $0.hasSuffix(": \(name)") } == 2, "\(name)")
        }
    }

    @Test("'shutDown' ends the program in order, with 1", arguments: Backends.all)
    func shutDown(backend: String) throws {
        let process = try ChildProcess(
            "NoriaProbe",
            ["shut down by an error"],
            environment: ["NORIA_BACKEND": backend]
        )
        try process.expectExit(.code(1))
        #expect(try process.output.all() == "requested\n")
        let errors = try process.errors.all()
        #expect(errors.contains("threw, and nobody awaits it: the end"))
        #expect(errors.contains("ended: an uncaught error: exit code 1"))
    }

    @Test("100,000 live tasks are listed within a second and cancelled", arguments: Backends.all)
    func many(backend: String) throws {
        // The thread sanitizer takes ten times as long.
        let count = StackCapture.isPossible ? 100_000 : 5_000
        let (lines, errors) = try Probe.finished("many tasks", backend, arguments: ["\(count)"])
        #expect(
            lines == [
                "listed: \(count / 2) odd", "ordered: true", "ids: true", "on: [0]",
                "count: true", "in a second: true", "ended: \(count)",
                #"cancelled: ["\#(count) plain tasks"]"#,
            ]
        )
        // SIGUSR1 has it in the log.
        #expect(errors.contains("tasks: \(count + 1) live, 0 of them cancelled"), "\(errors)")
        #expect(errors.contains("tasks: \(count / 2) × 'even'"))
        #expect(errors.contains("'noria body': "))
    }

    @Test("a listed task says where it is and whether it was cancelled", arguments: Backends.all)
    func listed(backend: String) throws {
        let (lines, _) = try Probe.finished("listed tasks", backend)
        #expect(
            lines == [
                "sleeper: 1 cancelled true", "age: true", "cut: true", "body: true", "none left",
                "none left", "off: 0 0", "still met: 1",
            ]
        )
    }

    @Test("'noria echo --fail-every' fails deliberately and goes on", arguments: Backends.all)
    func failEvery(backend: String) throws {
        let server = try EchoServer(backend, arguments: ["--fail-every", "3"])
        let client = try server.connect()
        for round in 0..<30 {
            try client.send([UInt8(round)])
            #expect(try client.receive(exactly: 1) == [UInt8(round)])
        }
        client.close()
        #expect(try server.end() == .code(0))
        let lines = try server.process.errors.all().split(separator: "\n")
        #expect(lines.filter { $0.contains("DeliberateError: message ") }.count == 10)
        #expect(lines.contains { $0.contains("10 uncaught errors (10 reported, 0 held back)") })
    }

    /// Nobody reads the other end, and it is full: the loop answers all the same, and ends.
    @Test("standard error as a full pipe stops no loop", arguments: Backends.all)
    func fullPipe(backend: String) throws {
        let server = try EchoServer(
            backend,
            environment: ["NORIA_SHUTDOWN_DEADLINE": "6s"],
            arguments: ["--fail-every", "1"],
            readsErrors: false
        )
        try server.process.fillErrors()
        let client = try server.connect()
        for round in 0..<3000 {
            try client.send([UInt8(truncatingIfNeeded: round)])
            #expect(try client.receive(exactly: 1) == [UInt8(truncatingIfNeeded: round)])
        }
        client.close()
        // The thread sanitizer itself writes there at the end, and waits.
        if StackCapture.isPossible { #expect(try server.end() == .code(0)) }
    }
}
