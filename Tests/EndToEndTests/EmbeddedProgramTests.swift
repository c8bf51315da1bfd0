// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@Suite("a program that owns its main and embeds the runtime")
struct EmbeddedProgramTests {
    private func start(_ name: String, _ number: Int = 0, backend: String) throws -> ChildProcess {
        try ChildProcess(
            "EmbeddedProbe",
            [name, "\(number)"],
            environment: ["NORIA_BACKEND": backend]
        )
    }

    private func lines(
        _ process: ChildProcess,
        code: Int32 = 0
    ) throws -> (output: [String], errors: String) {
        let exit = try process.waitForExit()
        let text = try process.output.all()
        let errors = try process.errors.all()
        #expect(exit == .code(code), "\(text) \(errors)")
        return (text.split(separator: "\n").map(String.init), errors)
    }

    @Test("the plan's embedded program reads a banner", arguments: Backends.all)
    func banner(backend: String) throws {
        let listener = try BlockingListener()
        let process = try start("banner", listener.port, backend: backend)
        let client = try listener.accept()
        try client.send(Array("a comment\r\n220 mail.example ready\r\n250 more\r\n".utf8))
        let (output, errors) = try lines(process)
        #expect(output == ["220 mail.example ready 2"], "\(errors)")
        #expect(errors.contains("started: backend: \(backend)"))
        #expect(errors.contains("ended: the body returned: exit code 0"))
    }

    @Test("fifty leave no thread and no descriptor", arguments: Backends.all, [1, 2])
    func cycles(backend: String, loopCount: Int) throws {
        let (output, _) = try lines(try start("cycles", loopCount, backend: backend))
        #expect(output == ["threads left: []", "descriptors: 0 more"])
    }

    @Test("a body that outlives the deadline is named, waited for, and ends nothing")
    func late() throws {
        for backend in Backends.all {
            let listener = try BlockingListener()
            let process = try start("late", listener.port, backend: backend)
            let client = try listener.accept()
            try process.errors.line(containing: "waited for all the same: body")
            try client.send(Array("told\n".utf8))
            let (output, errors) = try lines(process)
            #expect(output == ["value: told"])
            #expect(errors.contains("ended: enough: exit code 0"))
        }
    }

    @Test("a body that throws: the end's reason says so", arguments: Backends.all)
    func throwing(backend: String) throws {
        let (output, errors) = try lines(try start("throws", backend: backend))
        #expect(output == ["caught: Mistake()"])
        #expect(errors.contains("shutdown: the body threw; draining"))
        #expect(errors.contains("ended: the body threw: exit code 1, 0 drained, 1 cancelled"))
        #expect(!errors.contains("the body returned"))
    }

    @Test("its signals stay the program's", arguments: Backends.all)
    func signals(backend: String) throws {
        let process = try start("signals", backend: backend)
        try process.output.line(containing: "ready")
        // Written by a thread of the log's own, which the signal would overtake.
        try process.errors.line(containing: "never to come")
        // It ignores this one, and does not wait for the other.
        process.signal(SIGHUP)
        process.signal(SIGTERM)
        try process.expectExit(.signal(SIGTERM))
        let output = try process.output.all().split(separator: "\n").map(String.init)
        #expect(
            output == [
                "caught: 0", "\(SIGTERM) default: true", "\(SIGINT) default: true",
                "\(SIGPIPE) default: true", "\(SIGUSR1) default: true",
                "signals and deadline: the program's own; an end that takes longer than 25s is"
                    + " reported",
                "ready",
            ]
        )
        #expect(
            try process.errors.all().contains(
                "never to come: SIGHUP, SIGUSR1: an embedded runtime leaves them to its program"
            )
        )
    }

    @Test("before, in and after a takeover of the same process", arguments: Backends.all)
    func takeovers(backend: String) throws {
        let process = try ChildProcess(
            "NoriaProbe",
            ["embedded"],
            environment: ["NORIA_BACKEND": backend]
        )
        let (output, _) = try lines(process)
        // Once taken over, the process's executors are ours: who begins on a loop stays there.
        let echo = "echo on loop 0, a plain task"
        let refusal = "a runtime runs already: it began at"
        let expected = [
            "before: \(echo) elsewhere", "run 1: loop 0", "run 1: \(refusal)",
            "between: \(echo) loop 0", "run 2: loop 0", "run 2: \(refusal)",
        ]
        #expect(output.count == expected.count, "\(output)")
        for (line, begin) in zip(output, expected) { #expect(line.hasPrefix(begin), "\(output)") }
    }
}
