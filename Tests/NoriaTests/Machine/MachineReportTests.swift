// SPDX-License-Identifier: Apache-2.0
import FoundationEssentials
import NoriaSystem
import SystemPackage
import Testing

@testable import Noria

@Suite("The doctor's rows: ok, change with a command, or unknown with a reason")
struct MachineReportTests {
    private static let all = backends(ioUring: true)

    private static func backends(ioUring: Bool) -> [MachineReport.Backend] {
        [
            .init(kind: .ioUring, isAvailable: ioUring, reason: ioUring ? nil : "no", features: []),
            .init(kind: .epoll, isAvailable: true, reason: nil, features: []),
        ]
    }

    private func report(
        _ files: [String: String] = [:],
        ioUring: Bool = true
    ) throws -> MachineReport {
        let fixture = try MachineFixture(files)
        return MachineReport(fixture.machine, Self.backends(ioUring: ioUring))
    }

    private func row(
        _ name: String,
        _ files: [String: String] = [:],
        ioUring: Bool = true
    ) throws -> MachineCheck {
        try #require(report(files, ioUring: ioUring).checks.first { $0.name == name })
    }

    private func row(
        _ name: String,
        _ fixture: MachineFixture,
        affinity: Int = 8,
        limit: Int?
    ) throws -> MachineCheck {
        let machine = fixture.machine(affinity: affinity) { _ throws(Errno) in (limit, limit) }
        return try #require(MachineReport(machine, Self.all).checks.first { $0.name == name })
    }

    @Test("A wrong knob is no machine's fault, and still not ready")
    func wrongKnob() throws {
        let fixture = try MachineFixture()
        let good = ConfigurationReport(.production)
        #expect(good.problems.isEmpty)
        #expect(MachineReport(fixture.machine, Self.all, good).isReady)
        let wrong = ConfigurationReport(.production.with { $0.loops.jobsPerTurn = 0 })
        let report = MachineReport(fixture.machine, Self.all, wrong)
        #expect(!report.isReady)
        #expect(report.text.contains("\nwrong: loops.jobsPerTurn = 0 in the code"))
    }

    @Test("A machine in good order: every row is ok, and the names are those that are promised")
    func good() throws {
        let report = try report()
        #expect(
            report.checks.map(\.name) == [
                "kernel", "kernel.io_uring_disabled", "seccomp", "transparent huge pages",
                "container", "processors", "descriptors", "threads", "locked memory", "memory",
                "net.core.somaxconn", "net.ipv4.tcp_max_syn_backlog",
                "net.ipv4.ip_local_port_range", "exception handler",
            ]
        )
        for check in report.checks {
            #expect(check.state == .ok, "\(check)")
            #expect(check.command == nil, "\(check)")
            #expect(!check.finding.isEmpty && !check.reason.isEmpty)
        }
        #expect(report.isReady)
        #expect(report.text.hasSuffix("\n0 to change, 0 unknown\n"))
    }

    @Test("Without /proc and /sys every row of a file is unknown, and says which")
    func nothing() throws {
        let fixture = try MachineFixture()
        fixture.remove("/proc")
        fixture.remove("/sys")
        let report = MachineReport(fixture.machine, Self.all)
        let seen = ["descriptors", "exception handler"]
        for check in report.checks where !seen.contains(check.name) {
            #expect(check.state == .unknown, "\(check)")
            #expect(check.finding.contains("there is no /"), "\(check)")
        }
        // What is unknown asks for no change.
        #expect(report.isReady)
        #expect(report.text.hasSuffix("\n0 to change, 12 unknown\n"))
    }

    @Test("Garbage is unknown and shown, never ok")
    func garbage() throws {
        for (name, path) in [
            ("kernel", "/proc/sys/kernel/osrelease"),
            ("kernel.io_uring_disabled", "/proc/sys/kernel/io_uring_disabled"),
            ("seccomp", "/proc/self/status"),
            ("locked memory", "/proc/self/status"),
            ("transparent huge pages", "/sys/kernel/mm/transparent_hugepage/enabled"),
            ("container", "/proc/self/cgroup"), ("processors", "/proc/self/cgroup"),
            ("net.core.somaxconn", "/proc/sys/net/core/somaxconn"),
            ("net.ipv4.tcp_max_syn_backlog", "/proc/sys/net/ipv4/tcp_max_syn_backlog"),
            ("net.ipv4.tcp_max_syn_backlog", "/proc/sys/net/ipv4/tcp_syncookies"),
            ("net.ipv4.ip_local_port_range", "/proc/sys/net/ipv4/ip_local_port_range"),
            ("net.ipv4.ip_local_port_range", "/proc/sys/net/ipv4/tcp_tw_reuse"),
        ] {
            let row = try row(name, [path: "x y z\nSeccomp:\tmany\nCapEff:\tnone\n"])
            #expect(row.state == .unknown, "\(row)")
            #expect(row.finding.contains(path), "\(row)")
            // What the affinity mask says holds all the same.
            #expect(row.value == (name == "processors" ? 8 : nil), "\(row)")
        }
    }

    @Test(
        "The kernel's version is compared as numbers",
        arguments: [
            ("6.1.0", MachineCheck.State.ok), ("6.1", .ok), ("6.12-rc1", .ok), ("10.0.1", .ok),
            ("6.0.19", .change), ("5.15.0-91-generic", .change), ("4.18.0", .change),
            ("6", .unknown), ("six.one", .unknown), (".", .unknown), ("", .unknown),
        ]
    )
    func kernel(release: String, state: MachineCheck.State) throws {
        #expect(try row("kernel", ["/proc/sys/kernel/osrelease": release]).state == state)
    }

    @Test("io_uring switched off is to be changed, unless this process has it all the same")
    func ioUringDisabled() throws {
        let path = "/proc/sys/kernel/io_uring_disabled"
        let off = try row("kernel.io_uring_disabled", [path: "2\n"], ioUring: false)
        #expect(off.state == .change)
        #expect(off.value == 2)
        #expect(off.command == "sysctl -w kernel.io_uring_disabled=0")
        #expect(try row("kernel.io_uring_disabled", [path: "1\n"], ioUring: false).state == .change)
        #expect(try row("kernel.io_uring_disabled", [path: "1\n"], ioUring: true).state == .ok)
        #expect(try row("kernel.io_uring_disabled", [path: "0\n"], ioUring: false).state == .ok)
    }

    @Test("A kernel without the switch is no fault")
    func noSwitch() throws {
        let fixture = try MachineFixture()
        fixture.remove("/proc/sys/kernel/io_uring_disabled")
        fixture.remove("/sys/kernel/mm/transparent_hugepage")
        let checks = MachineReport(fixture.machine, Self.all).checks
        for name in ["kernel.io_uring_disabled", "transparent huge pages"] {
            let row = try #require(checks.first { $0.name == name })
            #expect(row.state == .ok)
            #expect(row.finding.contains("this kernel"))
        }
    }

    @Test("A filter is to be changed only where io_uring can't be had under it")
    func seccomp() throws {
        let filtered = ["/proc/self/status": "Seccomp:\t2\nCapEff:\t0\n"]
        #expect(try row("seccomp", filtered, ioUring: true).state == .ok)
        let row = try row("seccomp", filtered, ioUring: false)
        #expect(row.state == .change)
        #expect(row.value == 2)
        #expect(row.command?.contains("io_uring_setup") == true)
        #expect(try self.row("seccomp", ioUring: false).state == .ok)
    }

    @Test("Huge pages for all are to be changed")
    func hugePages() throws {
        let path = "/sys/kernel/mm/transparent_hugepage/enabled"
        let name = "transparent huge pages"
        let always = try row(name, [path: "[always] madvise never\n"])
        #expect(always.state == .change)
        #expect(always.finding == "always")
        #expect(always.command == "echo madvise > \(path)")
        #expect(try row(name, [path: "always madvise [never]\n"]).finding == "never")
    }

    @Test("A container is told by its marks and by a hierarchy that begins inside")
    func container() throws {
        #expect(try row("container").finding == "no sign of one")
        #expect(try row("container", ["/.dockerenv": ""]).finding == "/.dockerenv")
        #expect(try row("container", ["/run/.containerenv": ""]).finding.contains(".containerenv"))
        let fixture = try MachineFixture(["/sys/fs/cgroup/cgroup.events": ""])
        try fixture.mountUnified(path: "/")
        let checks = MachineReport(fixture.machine, Self.all).checks
        #expect(checks.first { $0.name == "container" }?.finding.contains("cpu") == true)
        for name in ["processors", "threads", "memory"] {
            let row = try #require(checks.first { $0.name == name })
            #expect(row.state == .unknown)
            #expect(row.finding.contains("can't be seen from inside this container"))
        }
    }

    @Test("Processors: less than a whole one is to be changed, also where ancestors are hidden")
    func processors() throws {
        let fixture = try MachineFixture(["/sys/fs/cgroup/cpu.max": "50000 100000"])
        try fixture.mountUnified(path: "/")
        let row = try row("processors", fixture, limit: nil)
        #expect(row.state == .change)
        #expect(row.value == 1)
        #expect(row.finding == "1 by affinity 8 and quota 0.5 of /sys/fs/cgroup")
        try fixture.write("", to: "/sys/fs/cgroup/cgroup.events")
        #expect(try self.row("processors", fixture, limit: nil).state == .change)
        try fixture.write("150000 100000", to: "/sys/fs/cgroup/cpu.max")
        #expect(try self.row("processors", fixture, limit: nil).state == .unknown)
    }

    @Test("Descriptors: the hard limit counts, since a runtime raises the soft one")
    func descriptors() throws {
        let fixture = try MachineFixture()
        let machine = fixture.machine(affinity: 8) { _ throws(Errno) in (1024, 524_288) }
        let rows = MachineReport(machine, Self.all).checks
        let row = try #require(rows.first { $0.name == "descriptors" })
        #expect(row.state == .ok)
        #expect(row.finding == "524288 (ulimit -Hn), 1024 before a runtime raises it")
        #expect(try self.row("descriptors", fixture, limit: 65_536).state == .ok)
        #expect(try self.row("descriptors", fixture, limit: nil).state == .ok)
        let low = try self.row("descriptors", fixture, limit: 65_535)
        #expect(low.state == .change)
        #expect(low.value == 65_535)
        #expect(low.command?.contains("LimitNOFILE=65536") == true)
    }

    @Test("A limit that can't be asked for is unknown")
    func unaskable() throws {
        let fixture = try MachineFixture()
        let machine = fixture.machine(affinity: 1) { _ throws(Errno) in throw .noFunction }
        for check in MachineReport(machine, Self.all).checks
        where ["descriptors", "threads", "locked memory"].contains(check.name) {
            #expect(check.state == .unknown)
            #expect(check.finding == "getrlimit failed (ENOSYS)")
        }
    }

    @Test("Threads: the user's limit or a group's, whichever is less")
    func threads() throws {
        let fixture = try MachineFixture([
            "/sys/fs/cgroup/a/pids.max": "100", "/sys/fs/cgroup/a/b/pids.max": "max",
        ])
        try fixture.mountUnified(path: "/a/b")
        let grouped = try row("threads", fixture, limit: 5000)
        #expect(grouped.state == .change)
        #expect(grouped.value == 100)
        #expect(grouped.finding == "5000 (ulimit -u), 100 (pids.max of /sys/fs/cgroup/a)")
        try fixture.write("2000", to: "/sys/fs/cgroup/a/pids.max")
        #expect(try row("threads", fixture, limit: 5000).state == .ok)
        #expect(try row("threads", fixture, limit: 50).value == 50)
        #expect(try row("threads", fixture, limit: nil).value == 2000)
    }

    @Test("Locked memory: enough for a ring each loop and one more, or an exemption")
    func lockedMemory() throws {
        let fixture = try MachineFixture()
        let one = MachineCheck.ringByteCount
        #expect(try row("locked memory", fixture, affinity: 3, limit: 4 * one).state == .ok)
        let low = try row("locked memory", fixture, affinity: 3, limit: 4 * one - 1)
        #expect(low.state == .change)
        #expect(low.value == 4 * one - 1)
        #expect(low.unit == "bytes")
        #expect(try row("locked memory", fixture, limit: nil).state == .ok)
        try fixture.write("CapEff:\t0000000000004000\nSeccomp:\t0\n", to: "/proc/self/status")
        let exempt = try row("locked memory", fixture, limit: 65_536)
        #expect(exempt.state == .ok)
        #expect(exempt.finding == "64 KiB (ulimit -l), which CAP_IPC_LOCK lifts")
        // The root of a user namespace has the capability in there alone.
        try fixture.write("0 100000 65536\n", to: "/proc/self/uid_map")
        #expect(try row("locked memory", fixture, limit: 65_536).state == .change)
    }

    @Test("A queue below the backlog is to be changed")
    func backlog() throws {
        let row = try row("net.core.somaxconn", ["/proc/sys/net/core/somaxconn": "128\n"])
        #expect(row.state == .change)
        #expect(row.value == 128)
        #expect(row.command == "sysctl -w net.core.somaxconn=4096")
    }

    @Test("Handshakes: few are no fault while SYN cookies are on")
    func handshakes() throws {
        let name = "net.ipv4.tcp_max_syn_backlog"
        let cookies = "/proc/sys/net/ipv4/tcp_syncookies"
        #expect(try row(name, ["/proc/sys/net/ipv4/\(name.dropFirst(9))": "128"]).state == .ok)
        #expect(try row(name, [cookies: "0"]).command == "sysctl -w net.ipv4.tcp_syncookies=1")
        let wide = ["/proc/sys/net/ipv4/tcp_max_syn_backlog": "4096", cookies: "0"]
        #expect(try row(name, wide).state == .ok)
    }

    @Test(
        "Ports: a range below the kernel's own is to be changed",
        arguments: [
            ("32768 60999", 28_232, MachineCheck.State.ok), ("1024 65535", 64_512, .ok),
            ("32769 60999", 28_231, .change), ("5 4", 0, .change), ("9 1", 0, .change),
        ]
    )
    func ports(range: String, count: Int, state: MachineCheck.State) throws {
        let row = try row(
            "net.ipv4.ip_local_port_range",
            ["/proc/sys/net/ipv4/ip_local_port_range": range]
        )
        #expect(row.value == count)
        #expect(row.state == state)
    }

    @Test("The text has a line for each row, and the command below")
    func text() throws {
        let text = try report(["/proc/sys/net/core/somaxconn": "128"], ioUring: false).text
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        #expect(lines[0] == "io_uring   no   no")
        #expect(lines[1] == "epoll      yes")
        #expect(lines[2] == "automatic  takes epoll")
        let index = try #require(lines.firstIndex { $0.contains("net.core.somaxconn") })
        #expect(lines[index].hasPrefix("change   net.core.somaxconn"))
        #expect(lines[index].contains("128 connections"))
        #expect(lines[index + 1].hasSuffix("  -> sysctl -w net.core.somaxconn=4096"))
        #expect(lines.suffix(2) == ["1 to change, 0 unknown", ""])
        #expect(!lines.contains { $0.hasSuffix(" ") })
    }

    @Test("The JSON's keys are those that are promised")
    func json() throws {
        let fixture = try MachineFixture([
            "/sys/fs/cgroup/a/cpu.max": "50000 100000", "/sys/fs/cgroup/cgroup.events": "",
        ])
        try fixture.mountUnified(path: "/a")
        let report = MachineReport(fixture.machine, Self.backends(ioUring: false))
        let json = try report.json
        // Each key as it is written; a value follows it.
        var keys: Set<String> = []
        for line in json.split(separator: "\n") where line.contains("\" : ") {
            keys.insert(String(line.split(separator: "\"")[1]))
        }
        #expect(
            keys == [
                "automatic", "backends", "kind", "isAvailable", "reason", "features",
                "processors", "count", "affinityCount", "quota", "quotaGroup", "gap",
                "checks", "name", "state", "value", "unit", "finding", "command",
            ]
        )
        #expect(json.contains("\"quotaGroup\" : \"/sys/fs/cgroup/a\""))
        let decoded = try JSONDecoder().decode(MachineReport.self, from: Data(json.utf8))
        #expect(decoded.processors.quota == 0.5)
        #expect(decoded.checks.map(\.name) == report.checks.map(\.name))
    }

    @Test(
        "Bytes are in the largest unit that leaves nothing over",
        arguments: [
            (0, "0 bytes"), (1023, "1023 bytes"), (1024, "1 KiB"), (1_048_576, "1 MiB"),
            (1_049_600, "1025 KiB"), (536_870_912, "512 MiB"), (2_147_483_648, "2 GiB"),
        ]
    )
    func bytes(count: Int, text: String) {
        #expect(count.inBytes == text)
    }
}
