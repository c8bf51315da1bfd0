// SPDX-License-Identifier: Apache-2.0
import FoundationEssentials
import Glibc
import TestSupport
import Testing

@Suite("noria doctor, on the machine as it is and as it is made to be")
struct DoctorTests {
    /// The keys that the help promises, written down once more.
    struct Report: Decodable {
        struct Backend: Decodable {
            let kind: String
            let isAvailable: Bool
            let reason: String?
            let features: [String]
        }

        struct Processors: Decodable {
            let count: Int
            let affinityCount: Int
            let quota: Double?
            let quotaGroup: String?
            let gap: String?
        }

        struct Check: Decodable {
            let name: String
            let state: String
            let value: Int?
            let unit: String?
            let finding: String
            let reason: String
            let command: String?
        }

        struct Configuration: Decodable {
            let knobs: [Knob]
            let unknownVariables: [Unknown]
        }

        struct Knob: Decodable {
            let name: String
            let variable: String
            let value: String
            let source: String
            let defaultValue: String
            let unit: String
            let range: String
            let summary: String
            let problem: String?
        }

        struct Unknown: Decodable {
            let name: String
            let nearest: String
        }

        let automatic: String?
        let backends: [Backend]
        let processors: Processors
        let checks: [Check]
        let configuration: Configuration?

        func check(_ name: String) throws -> Check {
            try #require(checks.first { $0.name == name })
        }
    }

    /// What `noria doctor --json` says after a shell has run `preparation`.
    private func report(after preparation: String = ":") throws -> Report {
        let program = "\(ChildProcess.productFolder)/noria"
        let process = try ChildProcess(
            "/bin/sh",
            ["-c", "\(preparation) && exec \"$0\" doctor --json", program]
        )
        try process.expectExit(.code(0))
        let errors = try process.errors.all()
        #expect(errors.isEmpty)
        return try JSONDecoder().decode(Report.self, from: Data(process.output.all().utf8))
    }

    @Test("it finds what this machine has")
    func real() throws {
        let report = try report()
        #expect(report.backends.map(\.kind) == ["io_uring", "epoll", "poll"])
        #expect(report.automatic == report.backends.first { $0.isAvailable }?.kind)
        #expect(Set(report.checks.map(\.state)).isSubset(of: ["ok", "change", "unknown"]))
        for check in report.checks {
            #expect((check.state == "change") == (check.command != nil), "\(check)")
        }
        let queue = try LeakCheck.text(of: "/proc/sys/net/core/somaxconn")
        #expect(try report.check("net.core.somaxconn").value.map { "\($0)\n" } == queue)
        let release = try LeakCheck.text(of: "/proc/sys/kernel/osrelease")
        #expect(try report.check("kernel").finding + "\n" == release)
    }

    @Test("lowered limits are seen, and are to be changed")
    func limits() throws {
        let report = try report(after: "ulimit -n 100 && ulimit -l 8")
        let descriptors = try report.check("descriptors")
        #expect(descriptors.state == "change")
        #expect(descriptors.value == 100)
        #expect(descriptors.unit == "descriptors")
        #expect(descriptors.command?.contains("LimitNOFILE=65536") == true)
        #expect(try report.check("locked memory").value == 8192)
    }

    @Test("a mask of one processor is seen")
    func affinity() throws {
        guard access("/usr/bin/taskset", X_OK) == 0 else {
            print("skipped: there is no taskset (util-linux) to set an affinity mask with")
            return
        }
        let status = try LeakCheck.text(of: "/proc/self/status")
        let list = try #require(
            status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") }
        )
        let first = list.drop { !$0.isNumber }.prefix { $0.isNumber }
        let processors = try report(after: "taskset -pc \(first) $$ >/dev/null").processors
        #expect(processors.affinityCount == 1)
        #expect(processors.count == 1)
    }

    @Test("a real quota of a parent group is seen", arguments: [0.5, 1.5])
    func quota(quota: Double) throws {
        guard let group = RealGroup(quota: quota) else { return }
        defer { group.remove() }
        let plain = try report().processors
        let report = try report(after: "echo $$ > \(group.child)/cgroup.procs")
        #expect(report.processors.quota == quota)
        #expect(report.processors.quotaGroup == group.parent)
        #expect(report.processors.gap == plain.gap)
        #expect(
            report.processors.count == min(plain.affinityCount, Int(quota.rounded(.up)))
        )
        let check = try report.check("processors")
        #expect(check.value == report.processors.count)
        #expect((check.state == "change") == (quota < 1))
    }

    @Test("--config has every knob, and who set it")
    func configuration() throws {
        let process = try ChildProcess(
            "noria",
            ["doctor", "--config", "--json"],
            environment: [
                "NORIA_JOBS_PER_TURN": "7", "NORIA_SHUTDOWN_DEADLINE": "never",
                "NORIA_BACKNED": "epoll",
            ]
        )
        try process.expectExit(.code(0))
        let json = try process.output.all()
        let report = try JSONDecoder().decode(Report.self, from: Data(json.utf8))
        let configuration = try #require(report.configuration)
        let jobs = try #require(configuration.knobs.first { $0.name == "loops.jobsPerTurn" })
        #expect(jobs.variable == "NORIA_JOBS_PER_TURN")
        #expect(jobs.value == "7")
        #expect(jobs.defaultValue == "61")
        #expect(jobs.unit == "jobs")
        #expect(jobs.source == "environment")
        #expect(jobs.problem == nil)
        let backend = try #require(configuration.knobs.first { $0.name == "backend" })
        #expect(backend.source == "default")
        let wrong = configuration.knobs.filter { $0.problem != nil }
        #expect(wrong.map(\.value) == ["never"])
        #expect(wrong.first?.problem?.contains("NORIA_SHUTDOWN_DEADLINE=never") == true)
        let unknown = configuration.unknownVariables.first { $0.name == "NORIA_BACKNED" }
        #expect(unknown?.nearest == "NORIA_BACKEND")
        #expect(try self.report().configuration == nil)
    }

    @Test("--config as text has a line for each, and what is wrong below")
    func configurationText() throws {
        let process = try ChildProcess(
            "noria",
            ["doctor", "--config", "--strict"],
            environment: ["NORIA_JOBS_PER_TURN": "0", "NORIA_TIME_PER_TURN": "2ms"]
        )
        try process.expectExit(.code(1))
        let lines = try process.output.all().split(separator: "\n")
        let time = try #require(lines.first { $0.hasPrefix("loops.timePerTurn") })
        #expect(
            time.split(separator: " ")
                == [
                    "loops.timePerTurn", "2ms", "time", "1ms", "environment", "NORIA_TIME_PER_TURN",
                ]
        )
        #expect(lines.contains { $0.hasPrefix("wrong: NORIA_JOBS_PER_TURN=0") })
    }

    @Test("--strict ends with 1 when something is to be changed, and only then")
    func strict() throws {
        let isReady = try !report().checks.contains { $0.state == "change" }
        let process = try ChildProcess("noria", ["doctor", "--strict"])
        try process.expectExit(.code(isReady ? 0 : 1))
        let program = "\(ChildProcess.productFolder)/noria"
        let low = try ChildProcess(
            "/bin/sh",
            ["-c", "ulimit -n 100; exec \"$0\" doctor --strict", program]
        )
        try low.expectExit(.code(1))
        let text = try low.output.all()
        #expect(text.contains("change   descriptors"))
        #expect(try low.errors.all().isEmpty)
    }
}
