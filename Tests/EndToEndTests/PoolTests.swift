// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@Suite("pools of a runtime that has its process", .serialized)
struct PoolTests {
    private func probe(_ name: String, _ backend: String) throws -> ChildProcess {
        try ChildProcess("NoriaProbe", [name], environment: ["NORIA_BACKEND": backend])
    }

    @Test("a task comes back to its loop, and a run leaves no thread", arguments: Backends.all)
    func places(backend: String) throws {
        let process = try probe("pools", backend)
        try process.expectExit(.code(0))
        let once = [
            "elsewhere, then loop 0", "main actor: elsewhere, then loop 0", "threads: 1 0",
        ]
        let lines = try process.output.all().split(separator: "\n").map(String.init)
        #expect(lines == once + once + once)
    }

    @Test("the limit grows while the loop is blocked", arguments: Backends.all)
    func blockedLoop(backend: String) throws {
        let process = try probe("pool and blocked loop", backend)
        try process.expectExit(.code(0), seconds: 30)
        #expect(try process.output.all() == "grew: true\nall done\n")
        #expect(try process.errors.all().contains("pool blocking: 2 → 3 threads: median wait "))
    }

    @Test("a refused thread is reported with the limit, and no job is lost")
    func refused() throws {
        let process = try probe("pool refused", "automatic")
        try process.expectExit(.code(0), seconds: 30)
        let text = try process.output.all()
        guard !text.hasPrefix("skipped") else { return print(text) }
        #expect(text == "done: 100, fewer threads: true\n")
        let errors = try process.errors.all()
        #expect(errors.contains("pool blocking: no thread beside its "), "\(errors)")
        #expect(errors.contains("6 (ulimit -u)"), "\(errors)")
    }

    @Test("a job that nothing ends is abandoned at the deadline", arguments: Backends.all)
    func stuck(backend: String) throws {
        let process = try probe("pool stuck", backend)
        try process.output.line(containing: "begun")
        process.signal(SIGTERM)
        try process.expectExit(.code(70))
        #expect(try process.errors.all().contains("abandoned"))
    }

    @Test("jobs that wait for others of their own pool are named, and one call is refused")
    func standstill() throws {
        let process = try probe("pool standstill", "automatic")
        try Waiting.until("the report", seconds: 60) {
            process.errors.text.contains("no job has ended for 1")
        } seen: {
            process.errors.text
        }
        let text = process.errors.text
        #expect(text.contains("and 2 wait; its 2 threads run 'outer' × 2"), "\(text)")
        // What was not refused, and what waits behind jobs that only sleep, is run.
        try process.expectExit(.code(0), seconds: 30)
        let lines = try process.output.all().split(separator: "\n").map(String.init)
        #expect(
            lines == [
                "inner (pool blocking): it waits for a thread, and every thread waits in a job that"
                    + " began such a call: give one of them a pool of its own",
                "inner: 1", "slow: 2", "slow: 2",
            ]
        )
    }

    /// The members of the last line.
    private func numbers(_ process: ChildProcess) throws -> [String: Double] {
        let text = try process.output.all()
        var members: [String: Double] = [:]
        for member in text.split(whereSeparator: { ",{}\n".contains($0) }) {
            let parts = member.split(separator: ":").map { $0.drop { " \"".contains($0) } }
            guard parts.count == 2, let name = parts[0].split(separator: "\"").first else {
                continue
            }
            members[String(name)] = Double(parts[1])
        }
        #expect(
            Set(members.keys) == [
                "limitStart", "limitEnd", "limitMax", "waitP50Ms", "waitP99Ms", "waitP50LastMs",
                "queueDepthMax", "refused", "completed", "loopDelayP99Ms",
            ],
            "\(text)"
        )
        return members
    }

    @Test("noria offload: the limit follows the wait, within its maximum")
    func offload() throws {
        let growing = try ChildProcess(
            "noria",
            [
                "offload", "--rate", "30", "--job-ms", "200", "--seconds", "5", "--limit", "2",
                "--maximum", "8",
            ]
        )
        let fixed = try ChildProcess(
            "noria",
            [
                "offload", "--rate", "100", "--job-ms", "200", "--seconds", "4", "--limit", "8",
                "--maximum", "8",
            ]
        )
        try growing.expectExit(.code(0), seconds: 30)
        try fixed.expectExit(.code(0), seconds: 30)
        let grown = try numbers(growing)
        #expect(grown["limitStart"] == 2)
        #expect((grown["limitEnd"] ?? 0) >= 6, "\(grown)")
        #expect(grown["refused"] == 0)
        #expect((grown["completed"] ?? 0) > 100, "\(grown)")
        #expect(try growing.errors.all().contains("2 → 3 threads: median wait "))
        let held = try numbers(fixed)
        #expect(held["limitMax"] == 8)
        #expect((held["queueDepthMax"] ?? .infinity) <= 1024)
        let text = try fixed.errors.all()
        // Once from the pool, and in each line of progress.
        #expect(text.contains("[Noria] pool blocking: offered load "), "\(text)")
        #expect(text.contains("\noffered load ") && text.contains(" threads, limit 8\n"), "\(text)")
    }

    @Test(
        "noria offload: what is wrong with a flag is said",
        arguments: [
            ["--rate", "0"], ["--job-ms", "-1"], ["--seconds", "0"], ["--limit", "0"],
            ["--limit", "9", "--maximum", "8"], ["--maximum", "1025"],
        ]
    )
    func wrongFlags(flags: [String]) throws {
        let process = try ChildProcess("noria", ["offload"] + flags)
        try process.expectExit(.code(64))
        let flag = flags.first ?? ""
        #expect(try process.errors.all().contains("'\(flag) "))
    }
}
