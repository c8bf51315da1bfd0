// SPDX-License-Identifier: Apache-2.0
import Glibc
import NoriaSystem
import SystemPackage
import TestSupport
import Testing

@Suite("the end comes by its deadline, with a report, whatever the tasks do")
struct DeadlineTests {
    /// What a loaded machine may add to the 100 ms that a quiet one needs; `Scripts/long` says which.
    private static let slack =
        getenv("NORIA_DEADLINE_SLACK_MS")
        .flatMap { UInt64(String(cString: $0)) } ?? 1000

    /// Ends a process that can't end by itself: its length in nanoseconds.
    private func abandon(_ process: ChildProcess, deadline: UInt64) throws -> UInt64 {
        let began = MonotonicClock.now
        process.signal(SIGTERM)
        try process.expectExit(.code(70), seconds: 20)
        let length = MonotonicClock.now - began
        #expect(length < deadline + Self.slack * 1_000_000, "\(length / 1_000_000) ms")
        return length
    }

    @Test(
        "a stuck task, loop and job are named, and abandoned at the deadline with 70",
        arguments: Backends.all,
        ["1", "2"]
    )
    func stuck(backend: String, loops: String) throws {
        let folder = try TemporaryFolder()
        let server = try EchoServer(
            backend,
            arguments: [
                "--loops", loops, "--stuck", "task,loop,job", "--shutdown-deadline", "2",
                "--report", "\(folder.path)/report.json",
            ]
        )
        _ = try server.process.errors.line(containing: "loop 0 is blocked by task 'stuck-loop'")
        let length = try abandon(server.process, deadline: 2_000_000_000)
        #expect(length >= 1_900_000_000)
        let errors = try server.process.errors.all()
        let words = errors.split(separator: "\n").filter { $0.hasPrefix("noria: ") }
        #expect(words.first?.contains("what has not ended is abandoned:") == true, "\(errors)")
        for name in ["loop 0: ", "stuck-job (pool blocking)", "task 'stuck-task'"] {
            #expect(words.contains { $0.contains(name) }, "\(name): \(errors)")
        }
        let report = try SystemFile.text(of: "\(folder.path)/report.json")
        #expect(report.contains("\"exitCode\" : 70"))
        #expect(report.contains("stuck-job (pool blocking)"))
    }

    @Test("the same when nobody reads standard error", arguments: Backends.all)
    func fullPipe(backend: String) throws {
        let server = try EchoServer(
            backend,
            arguments: ["--stuck", "task,loop,job", "--shutdown-deadline", "2"],
            readsErrors: false
        )
        try server.process.fillErrors()
        _ = try abandon(server.process, deadline: 2_000_000_000)
    }

    @Test("the same when the stuck job holds the log's lock", arguments: Backends.all)
    func lockHeld(backend: String) throws {
        let process = try ChildProcess(
            "NoriaProbe",
            ["log lock held"],
            environment: ["NORIA_BACKEND": backend]
        )
        _ = try process.output.line(containing: "held")
        _ = try abandon(process, deadline: 2_000_000_000)
        #expect(try process.errors.all().contains("stuck-job (pool blocking)"))
    }

    @Test("a handler that never returns does not keep the deadline", arguments: Backends.all)
    func blockedBefore(backend: String) throws {
        let server = try EchoServer(
            backend,
            environment: ["NORIA_STALL_REPORT_THRESHOLD": "100ms"],
            arguments: ["--block-every", "1", "--block-for", "60000", "--shutdown-deadline", "1"]
        )
        let client = try server.connect()
        try client.send([1])
        _ = try server.process.errors.line(containing: "is blocked")
        _ = try abandon(server.process, deadline: 1_000_000_000)
        client.close()
    }

    @Test(
        "in the grace everything goes on, and the report says how long it was",
        arguments: Backends.all
    )
    func grace(backend: String) throws {
        let folder = try TemporaryFolder()
        let server = try EchoServer(
            backend,
            arguments: ["--grace", "1.5", "--report", "\(folder.path)/report.json"]
        )
        server.process.signal(SIGTERM)
        _ = try server.process.errors.line(containing: "not ready, and going on for ")
        let client = try server.connect()
        try client.send([1, 2, 3])
        #expect(try client.receive(exactly: 3) == [1, 2, 3])
        client.close()
        try server.process.expectExit(.code(0))
        #expect(try server.process.errors.all().contains("; draining, "))
        let report = try SystemFile.text(of: "\(folder.path)/report.json")
        let phases = report.split(separator: "\n").filter { $0.contains("\"phase\"") }
        #expect(phases.first?.contains("notReady") == true, "\(report)")
        #expect(phases.dropFirst().first?.contains("draining") == true, "\(report)")
        #expect(report.contains("\"exitCode\" : 0"))
    }

    @Test(
        "actions run at the end, the last registered first, not cancelled, each error in the report",
        arguments: Backends.all,
        [[], ["asked"]]
    )
    func actions(backend: String, arguments: [String]) throws {
        let (lines, errors) = try Probe.finished("end actions", backend, arguments: arguments)
        let isAsked = !arguments.isEmpty
        #expect(
            lines == [
                "blocking: 1", "last: 2", "added", "second false", "first false",
                #"errors: ["wrong: Mistake()"]"#,
                isAsked
                    ? #"phases: ["draining", "cancelling"]"# : #"phases: ["draining"]"#, "code: 0",
            ],
            "\(lines)"
        )
        #expect(errors.contains("shutdown: 'second' done in "))
        #expect(errors.contains("Mistake()"), "\(errors)")
    }

    @Test(
        "an action that never ends is named, and abandoned at the deadline",
        arguments: Backends.all
    )
    func stuckAction(backend: String) throws {
        let process = try ChildProcess(
            "NoriaProbe",
            ["stuck end action"],
            environment: ["NORIA_BACKEND": backend, "NORIA_SHUTDOWN_DEADLINE": "1s"]
        )
        try process.expectExit(.code(70), seconds: 20)
        #expect(try process.errors.all().contains("task 'lease'"))
    }

    @Test("a report that can't be written is an error in the log, and keeps nobody")
    func badReports() throws {
        let folder = try TemporaryFolder()
        let pipe = "\(folder.path)/pipe"
        try #require(mkfifo(pipe, 0o600) == 0)
        for path in [pipe, folder.path, "\(folder.path)/none/report.json", "/dev/full"] {
            let server = try EchoServer("epoll", arguments: ["--report", path])
            #expect(try server.end() == .code(0))
            #expect(try server.process.errors.all().contains("no report at \(path): "))
        }
        withExtendedLifetime(folder) {}
    }
}
