// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@Suite("the debug mode names what a program does that it should not")
struct DebugModeTests {
    private static func start(
        _ name: String,
        _ backend: String,
        _ environment: [String: String] = [:]
    ) throws -> ChildProcess {
        try ChildProcess(
            "NoriaProbe",
            [name],
            environment: environment.merging(["NORIA_BACKEND": backend]) { _, new in new }
        )
    }

    @Test(
        "slow jobs, stubborn tasks and what was not closed, with their places",
        arguments: Backends.all
    )
    func named(backend: String) throws {
        let process = try Self.start("debugging", backend)
        let slow = try process.errors.line(containing: "for a job of task 'slow'")
        #expect(slow.contains("loop 0 took "))
        #expect(slow.contains("priority "))
        #expect(slow.contains("made by static Debugging.makeSlowTask() at Debugging.swift:"))
        let stubborn = try process.errors.line(containing: "live: task 'stubborn'")
        #expect(
            stubborn.contains("made by static Debugging.makeStubbornTask() at Debugging.swift:")
        )
        #expect(stubborn.contains("cancelled "))
        let connection = try process.errors.line(containing: "connection 1 from ")
        #expect(connection.contains("was not closed; it was opened at NoriaProbe/Debugging.swift:"))
        process.signal(SIGUSR1)
        let listed = try process.errors.line(containing: " 'stubborn': ")
        #expect(listed.contains("made by static Debugging.makeStubbornTask()"))
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
        let lines = try process.output.all().split(separator: "\n").map(String.init)
        #expect(lines.contains { $0.hasPrefix("origin: static Debugging.makeStubbornTask() at ") })
        #expect(
            lines.contains { $0.hasPrefix("call: ") && $0.contains("swallowCancellation() at ") }
        )
        let errors = try process.errors.all()
        #expect(errors.contains("left behind: task 'stubborn'"))
        #expect(errors.contains("swallowCancellation() at Debugging.swift:"))
    }

    @Test(
        "what is a loop's and is used elsewhere ends the process with a message",
        arguments: Backends.all
    )
    func wrongThread(backend: String) throws {
        let process = try Self.start("wrong thread", backend, ["SWIFT_BACKTRACE": "enable=no"])
        let exit = try process.waitForExit()
        #expect(exit != .code(0))
        let errors = try process.errors.all()
        #expect(errors.contains("'jobCount' belongs to the thread of loop 0"))
        #expect(try process.output.all().contains("on the loop: true"))
    }

    @Test(
        "a million tasks leave nothing behind, and a listener is named that nobody closed",
        arguments: Backends.all
    )
    func memory(backend: String) throws {
        let (lines, errors) = try Probe.finished("debug tasks", backend)
        #expect(lines == ["bounded: true"])
        let listener = errors.split(separator: "\n").last { $0.contains("listener ") }
        #expect(listener?.contains("was not closed; it was opened at NoriaProbe/") == true)
    }

    @Test(
        "a stall names the plain task that keeps the loop, in production",
        arguments: Backends.all
    )
    func blocker(backend: String) throws {
        let (_, errors) = try Probe.finished("blocker", backend)
        #expect(errors.contains("loop 0 is blocked by task 'blocker' ("), "\(errors)")
    }

    @Test("the start says that it is on, who has decided it and what it costs")
    func start() throws {
        let server = try EchoServer("epoll", environment: ["NORIA_DEBUG": "1"])
        let line = try server.process.errors.line(containing: "started: ")
        #expect(line.contains(" warning "))
        #expect(line.contains("debug: on, by NORIA_DEBUG [change: it costs some percent "))
        #expect(try server.end() == .code(0))
    }
}
