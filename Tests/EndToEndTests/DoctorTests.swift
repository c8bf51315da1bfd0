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

        let automatic: String?
        let backends: [Backend]
        let processors: Processors
        let checks: [Check]

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
        #expect(try process.waitForExit() == .code(0))
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

    @Test("--strict ends with 1 when something is to be changed, and only then")
    func strict() throws {
        let isReady = try !report().checks.contains { $0.state == "change" }
        let process = try ChildProcess("noria", ["doctor", "--strict"])
        #expect(try process.waitForExit() == .code(isReady ? 0 : 1))
        let program = "\(ChildProcess.productFolder)/noria"
        let low = try ChildProcess(
            "/bin/sh",
            ["-c", "ulimit -n 100; exec \"$0\" doctor --strict", program]
        )
        #expect(try low.waitForExit() == .code(1))
        let text = try low.output.all()
        #expect(text.contains("change   descriptors"))
        #expect(try low.errors.all().isEmpty)
    }
}
