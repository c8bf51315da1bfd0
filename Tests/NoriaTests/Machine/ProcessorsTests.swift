// SPDX-License-Identifier: Apache-2.0
import NoriaSystem
import Testing

@testable import Noria

@Suite("Processors: the affinity mask and the tightest quota of all control groups")
struct ProcessorsTests {
    @Test("Version 2: the tightest quota counts, although a parent sets it")
    func unifiedParent() throws {
        let fixture = try MachineFixture([
            "/sys/fs/cgroup/a/cpu.max": "max 100000\n",
            "/sys/fs/cgroup/a/b/cpu.max": "150000 100000\n",
            "/sys/fs/cgroup/a/b/c/cpu.max": "400000 100000\n",
        ])
        try fixture.mountUnified(path: "/a/b/c")
        let processors = Processors(fixture.machine)
        #expect(processors.count == 2)
        #expect(processors.quota == 1.5)
        #expect(processors.quotaGroup == "/sys/fs/cgroup/a/b")
        #expect(processors.affinityCount == 8)
        #expect(processors.gap == nil)
    }

    @Test("Version 1: quota and period of every ancestor, -1 is none")
    func firstParent() throws {
        let folder = "/sys/fs/cgroup/cpu,cpuacct"
        let fixture = try MachineFixture([
            "\(folder)/release_agent": "",
            "\(folder)/cpu.cfs_quota_us": "-1\n",
            "\(folder)/cpu.cfs_period_us": "100000\n",
            "\(folder)/a/cpu.cfs_quota_us": "125000\n",
            "\(folder)/a/cpu.cfs_period_us": "50000\n",
            "\(folder)/a/b/cpu.cfs_quota_us": "-1\n",
            "\(folder)/a/b/cpu.cfs_period_us": "100000\n",
        ])
        try fixture.mountFirst(["cpu,cpuacct", "memory"], path: "/a/b")
        let processors = Processors(fixture.machine)
        #expect(processors.count == 3)
        #expect(processors.quota == 2.5)
        #expect(processors.quotaGroup == "\(folder)/a")
        #expect(processors.gap == nil)
    }

    @Test("Hybrid: what version 1 holds is read there, the rest in version 2")
    func hybrid() throws {
        let fixture = try MachineFixture([
            "/sys/fs/cgroup/cpu/release_agent": "",
            "/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "300000",
            "/sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000",
            "/sys/fs/cgroup/unified/user.slice/cpu.max": "100000 100000",
            "/sys/fs/cgroup/unified/user.slice/pids.max": "77",
        ])
        try fixture.mountFirst(["cpu"], path: "/a", hasUnified: true)
        let processors = Processors(fixture.machine)
        #expect(processors.quota == 3)
        #expect(processors.count == 3)
        let threads = ControlGroups(fixture.machine).threadLimit()
        #expect(threads.value == 77)
        #expect(threads.folder == "/sys/fs/cgroup/unified/user.slice")
    }

    @Test(
        "A quota is rounded up, and there is always one",
        arguments: [
            ("1000 100000", 1), ("99999 100000", 1), ("100000 100000", 1), ("100001 100000", 2),
            ("700000 100000", 7), ("800000 100000", 8), ("801000 100000", 8),
            ("9223372036854775807 1", 8), ("max 100000", 8), ("  200000   100000  ", 2),
        ]
    )
    func rounding(text: String, count: Int) throws {
        let fixture = try MachineFixture(["/sys/fs/cgroup/a/cpu.max": text])
        try fixture.mountUnified(path: "/a")
        let processors = Processors(fixture.machine)
        #expect(processors.count == count)
        #expect(processors.gap == nil)
    }

    @Test("The affinity mask counts when it is the tighter one")
    func affinity() throws {
        let fixture = try MachineFixture(["/sys/fs/cgroup/a/cpu.max": "400000 100000"])
        try fixture.mountUnified(path: "/a")
        #expect(Processors(fixture.machine(affinity: 2)).count == 2)
        #expect(Processors(fixture.machine(affinity: 5)).count == 4)
    }

    @Test(
        "What is no quota is named and bounds nothing; a parent's still counts",
        arguments: ["", "garbage", "1", "1 2 3", "-5 100000", "0 100000", "100000 0", "x 100000"]
    )
    func garbage(text: String) throws {
        let fixture = try MachineFixture([
            "/sys/fs/cgroup/a/cpu.max": "600000 100000",
            "/sys/fs/cgroup/a/b/cpu.max": text,
        ])
        try fixture.mountUnified(path: "/a/b")
        let processors = Processors(fixture.machine)
        #expect(processors.count == 6)
        #expect(processors.gap?.contains("/sys/fs/cgroup/a/b/cpu.max says") == true)
    }

    @Test(
        "In version 1, too",
        arguments: [("garbage", "100000"), ("0", "100000"), ("-7", "100000"), ("50000", "0")]
    )
    func firstGarbage(quota: String, period: String) throws {
        let fixture = try MachineFixture([
            "/sys/fs/cgroup/cpu/release_agent": "",
            "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": quota,
            "/sys/fs/cgroup/cpu/cpu.cfs_period_us": period,
        ])
        try fixture.mountFirst(["cpu"], path: "/")
        let processors = Processors(fixture.machine)
        #expect(processors.count == 8)
        #expect(processors.quota == nil)
        #expect(processors.gap?.contains("/sys/fs/cgroup/cpu/cpu.cfs_quota_us says") == true)
    }

    @Test("A quota without its period is unknown, since the period is not guessed")
    func missingPeriod() throws {
        let fixture = try MachineFixture([
            "/sys/fs/cgroup/cpu/release_agent": "",
            "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000",
        ])
        try fixture.mountFirst(["cpu"], path: "/")
        #expect(
            Processors(fixture.machine).gap == "there is no /sys/fs/cgroup/cpu/cpu.cfs_period_us"
        )
    }

    @Test("A file that isn't there sets no limit: the controller is off in that group")
    func missingFile() throws {
        let fixture = try MachineFixture([
            "/sys/fs/cgroup/a/cpu.max": "200000 100000", "/sys/fs/cgroup/a/b/cgroup.procs": "1",
        ])
        try fixture.mountUnified(path: "/a/b")
        let processors = Processors(fixture.machine)
        #expect(processors.count == 2)
        #expect(processors.gap == nil)
    }

    @Test("A file that can't be read is unknown, with the error's name")
    func unreadable() throws {
        let fixture = try MachineFixture(["/sys/fs/cgroup/a/cpu.max": ""])
        try fixture.mountUnified(path: "/a")
        fixture.spoil("/sys/fs/cgroup/a/cpu.max")
        let processors = Processors(fixture.machine)
        #expect(processors.count == 8)
        #expect(processors.gap == "/sys/fs/cgroup/a/cpu.max can't be read (EISDIR)")
    }

    @Test("Here and now it says at least one, and not more than the affinity mask")
    func real() {
        let processors = Processors.available
        #expect(processors.count >= 1)
        #expect(processors.count <= processors.affinityCount)
        #expect(processors.affinityCount == Affinity.processorCount)
    }
}
