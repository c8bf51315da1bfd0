// SPDX-License-Identifier: Apache-2.0
import FoundationEssentials
import Glibc
import TestSupport
import Testing

@Suite("noria tour shows the four steps, and says when one does not hold", .serialized)
struct TourTests {
    /// The keys that the help promises, written down once more.
    struct Report: Decodable {
        struct Step: Decodable {
            let section: String
            let name: String
            let held: Bool
            let finding: String
            let advice: String?
            let seconds: Double
            let figures: [String: Double]
        }

        let held: Bool
        let seconds: Double
        let steps: [Step]

        func step(_ name: String) throws -> Step {
            try #require(steps.first { $0.name == name })
        }
    }

    static let names = [
        "policy": ["self-test", "fallback", "assertion", "echo"],
        "executors": ["blocking calls", "worker processes"],
        "diagnostics": ["production", "blocked loop", "errors"],
        "shutdown": ["SIGTERM under load", "deadline"],
    ]

    private func tour(
        _ sections: [String],
        environment: [String: String] = [:],
        after preparation: String = ":"
    ) throws -> (exit: ChildProcess.Exit, report: Report) {
        let process = try ChildProcess(
            "/bin/sh",
            ["-c", "\(preparation) && exec \"$0\" \"$@\"", "\(ChildProcess.productFolder)/noria"]
                + ["tour", "--json"] + sections,
            environment: environment
        )
        let exit = try process.waitForExit(seconds: 90)
        let json = Data(try process.output.all().utf8)
        return (exit, try JSONDecoder().decode(Report.self, from: json))
    }

    /// These have times as bounds, which a machine that runs other tests besides may not keep;
    /// `.ci/run` takes the tour alone.
    static let timed = ["blocking calls", "blocked loop", "deadline"]

    /// A debug build is none for production: that step has to fail there.
    @Test("every step is shown, and holds")
    func whole() throws {
        let backend = Backends.all[0]
        let (exit, report) = try tour([], environment: ["NORIA_BACKEND": backend])
        #expect(report.steps.map(\.name).sorted() == Self.names.values.joined().sorted())
        for step in report.steps where !Self.timed.contains(step.name) {
            #expect(step.held == (isOptimised || step.name != "production"), "\(step)")
        }
        #expect(report.held == report.steps.allSatisfy(\.held))
        #expect(exit == .code(report.held ? 0 : 1))
        #expect(try report.step("self-test").finding.hasPrefix("\(backend) serves"))
        #expect(try report.step("echo").figures["cpuMicroseconds"] ?? 0 > 0)
        #expect(try report.step("errors").figures["errorsCount"] == 1000)
    }

    @Test("one section alone ends with 0, on each backend", arguments: Backends.all)
    func section(backend: String) throws {
        let (exit, report) = try tour(["policy"], environment: ["NORIA_BACKEND": backend])
        #expect(report.steps.map(\.name) == Self.names["policy"])
        #expect(exit == .code(0), "\(report)")
    }

    @Test("what does not hold is told, and with what to do")
    func failing() throws {
        // 200 connections are too many for it, and the client's end too few.
        let (exit, report) = try tour(["shutdown"], after: "ulimit -n 120")
        #expect(exit == .code(1))
        #expect(!report.held)
        let step = try report.step("SIGTERM under load")
        #expect(!step.held && step.finding.contains("faults, the first: "), "\(step)")
        #expect(step.advice?.contains("ulimit -n") == true, "\(step)")
    }

    @Test("a debug mode that is on is found")
    func debug() throws {
        let (exit, report) = try tour(["diagnostics"], environment: ["NORIA_DEBUG": "1"])
        #expect(exit == .code(1))
        let step = try report.step("production")
        #expect(!step.held && step.finding.contains("debug mode: on"), "\(step)")
        #expect(try report.step("blocked loop").finding.contains("with debug mode on"))
    }

    @Test("a folder that can't be written is named, with its variable")
    func noFolder() throws {
        let (exit, report) = try tour(["shutdown"], environment: ["TMPDIR": "/nowhere"])
        #expect(exit == .code(1))
        let step = try report.step("deadline")
        #expect(!step.held && step.finding.contains("written in /nowhere (TMPDIR)"), "\(step)")
        #expect(step.advice != nil)
    }

    @Test("a backend that is none ends it with 78, an output that takes nothing with 74")
    func ends() throws {
        let wrong = try ChildProcess("noria", ["tour"], environment: ["NORIA_BACKEND": "bogus"])
        #expect(try wrong.waitForExit() == .code(78))
        #expect(try wrong.errors.all().contains("NORIA_BACKEND"))
        for output in [">/dev/full", ">&-"] {
            let full = try ChildProcess(
                "/bin/sh",
                ["-c", "exec \"$0\" doctor \(output)", "\(ChildProcess.productFolder)/noria"]
            )
            #expect(try full.waitForExit() == .code(74), "\(output)")
        }
    }

    @Test("SIGINT ends it and its children, and is no success")
    func interrupted() throws {
        let process = try ChildProcess("noria", ["tour", "executors"])
        _ = try process.errors.line(containing: "1 s: limit ")
        let children = Self.children(of: process.pid)
        #expect(!children.isEmpty)
        process.signal(SIGINT)
        try process.expectExit(.code(1), seconds: 20)
        #expect(try process.output.all().contains("interrupted at 'blocking calls'"))
        for child in children { #expect(kill(child, 0) != 0 && errno == ESRCH) }
    }

    @Test("a section that is none is a usage error that names them")
    func usage() throws {
        let process = try ChildProcess("noria", ["tour", "polity"])
        #expect(try process.waitForExit() == .code(64))
        #expect(try process.errors.all().contains("policy, executors, diagnostics, shutdown"))
    }

    private var isOptimised: Bool {
        #if DEBUG
        false
        #else
        true
        #endif
    }

    private static func children(of pid: pid_t) -> [pid_t] {
        LeakCheck.entries(of: "/proc").compactMap { name in
            guard let child = pid_t(name),
                let text = try? LeakCheck.text(of: "/proc/\(name)/stat"),
                let end = text.lastIndex(of: ")")
            else { return nil }
            let words = text[text.index(after: end)...].split(separator: " ")
            return words.count > 1 && pid_t(words[1]) == pid ? child : nil
        }
    }
}
