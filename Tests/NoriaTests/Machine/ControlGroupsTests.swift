// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Noria

@Suite("Control groups: where they are, and what of them can't be seen")
struct ControlGroupsTests {
    @Test("The namespace of version 2: / is shown, and limits above may be there")
    func unifiedNamespace() throws {
        let fixture = try MachineFixture([
            "/sys/fs/cgroup/cgroup.events": "populated 1\n",
            "/sys/fs/cgroup/cpu.max": "200000 100000\n",
        ])
        try fixture.mountUnified(path: "/")
        let processors = Processors(fixture.machine)
        #expect(processors.count == 2)
        #expect(processors.quotaGroup == "/sys/fs/cgroup")
        #expect(
            processors.gap
                == "limits above /sys/fs/cgroup can't be seen from inside this container"
        )
    }

    @Test("A container of version 1 without a namespace: the mount shows its own group alone")
    func firstContainer() throws {
        let fixture = try MachineFixture([
            "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000",
            "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        ])
        try fixture.mountFirst(["cpu"], path: "/docker/f00", root: "/docker/f00")
        let processors = Processors(fixture.machine)
        #expect(processors.quota == 4)
        #expect(processors.gap?.hasPrefix("limits above /sys/fs/cgroup/cpu can't") == true)
    }

    @Test("A group below a container's own, mounted from the container's on")
    func belowContainer() throws {
        let fixture = try MachineFixture([
            "/sys/fs/cgroup/cgroup.events": "",
            "/sys/fs/cgroup/inner/cpu.max": "100000 100000",
        ])
        try fixture.mountUnified(path: "/kube/pod/inner", root: "/kube/pod")
        let chain = try ControlGroups(fixture.machine).chain(of: "cpu")
        #expect(chain?.folders == ["/sys/fs/cgroup/inner", "/sys/fs/cgroup"])
        #expect(Processors(fixture.machine).count == 1)
    }

    @Test("Of several mounts the one that shows the most ancestors is read")
    func severalMounts() throws {
        let fixture = try MachineFixture(["/all/a/b/cpu.max": "300000 100000"])
        try fixture.write("0::/a/b\n", to: "/proc/self/cgroup")
        try fixture.write(
            """
            1 2 0:3 /a/b /part rw - cgroup2 cgroup2 rw
            1 2 0:3 / /all rw - cgroup2 cgroup2 rw
            1 2 0:3 /a /other rw - cgroup2 cgroup2 rw
            1 2 0:3 /elsewhere /else rw - cgroup2 cgroup2 rw
            1 2 0:3 /../.. /above rw - cgroup2 cgroup2 rw

            """,
            to: "/proc/self/mountinfo"
        )
        let chain = try ControlGroups(fixture.machine).chain(of: "cpu")
        #expect(chain?.folders == ["/all/a/b", "/all/a", "/all"])
    }

    @Test("A group whose name only begins as the mount's root is not below it")
    func prefixOfName() throws {
        let fixture = try MachineFixture()
        try fixture.mountUnified(path: "/kube2/x", root: "/kube")
        let processors = Processors(fixture.machine)
        #expect(processors.gap?.contains("that holds cpu is mounted here") == true)
    }

    @Test("Names with spaces and backslashes, which the mount table escapes")
    func escapes() throws {
        #expect(ControlGroups.unescaped(#"/a\040b\134x2d\011"#) == "/a b\\x2d\t")
        #expect(ControlGroups.unescaped(#"\9\04"#) == #"\9\04"#)
        #expect(ControlGroups.unescaped("") == "")
        let fixture = try MachineFixture(["/my groups/a\\x2db/cpu.max": "100000 100000"])
        try fixture.write("0::/a\\x2db\n", to: "/proc/self/cgroup")
        try fixture.write(
            #"1 2 0:3 / /my\040groups rw - cgroup2 cgroup2 rw"# + "\n",
            to: "/proc/self/mountinfo"
        )
        #expect(Processors(fixture.machine).count == 1)
    }

    @Test("No control group file system, as in an empty root with /proc only: unknown")
    func noMount() throws {
        let fixture = try MachineFixture()
        try fixture.write("0::/a\n", to: "/proc/self/cgroup")
        #expect(
            Processors(fixture.machine).gap
                == "no control group file system that holds cpu is mounted here"
        )
    }

    @Test("No /proc at all: unknown, and it says what is missing")
    func noProc() throws {
        let fixture = try MachineFixture()
        fixture.remove("/proc")
        let processors = Processors(fixture.machine)
        #expect(processors.count == 8)
        #expect(processors.gap == "there is no /proc/self/cgroup")
    }

    @Test(
        "What /proc/self/cgroup should not say is shown",
        arguments: ["0:/\n", "garbage\n", "0::a\n", "\u{0}\n"]
    )
    func badMembership(text: String) throws {
        let fixture = try MachineFixture()
        try fixture.write(text, to: "/proc/self/cgroup")
        #expect(Processors(fixture.machine).gap?.hasPrefix("/proc/self/cgroup says '") == true)
    }

    @Test("A mount table of garbage holds no mount, and does not trap")
    func badMounts() throws {
        let fixture = try MachineFixture(["/sys/fs/cgroup/cpu.max": "100000 100000"])
        try fixture.write("0::/\n", to: "/proc/self/cgroup")
        for text in [
            "-\n", "1 2 3 4 5 6 -\n", "1 2 3 4 5 6 - cgroup2\n", "1 2 3 / /x rw cgroup2 - rw\n",
            " \n", "- - - - - - - -\n",
        ] {
            try fixture.write(text, to: "/proc/self/mountinfo")
            #expect(Processors(fixture.machine).gap?.contains("is mounted here") == true, "\(text)")
        }
    }

    @Test("A group outside of what the namespace shows is unknown")
    func outside() throws {
        let fixture = try MachineFixture(["/sys/fs/cgroup/cpu.max": "100000 100000"])
        try fixture.mountUnified(path: "/../sibling")
        #expect(Processors(fixture.machine).gap?.contains("outside") == true)
    }

    @Test("A group that was removed under the process is unknown")
    func removed() throws {
        let fixture = try MachineFixture(["/sys/fs/cgroup/cgroup.procs": ""])
        try fixture.mountUnified(path: "/gone (deleted)")
        #expect(Processors(fixture.machine).gap == "there is no /sys/fs/cgroup/gone (deleted)")
    }

    @Test("A controller that the kernel doesn't have sets no limit")
    func noController() throws {
        let fixture = try MachineFixture()
        try fixture.mountFirst(["memory"], path: "/")
        let processors = Processors(fixture.machine)
        #expect(processors.count == 8)
        #expect(processors.gap == nil)
    }

    @Test("Memory: version 1's largest number and version 2's word are none, the least counts")
    func memory() throws {
        let first = "/sys/fs/cgroup/memory"
        let fixture = try MachineFixture([
            "\(first)/release_agent": "",
            "\(first)/memory.limit_in_bytes": "9223372036854771712\n",
            "\(first)/a/memory.limit_in_bytes": "1073741824\n",
            "\(first)/a/b/memory.limit_in_bytes": "9223372036854771712\n",
            "/sys/fs/cgroup/x/memory.max": "536870912\n",
            "/sys/fs/cgroup/x/y/memory.max": "max\n",
        ])
        try fixture.mountFirst(["memory"], path: "/a/b")
        let limit = ControlGroups(fixture.machine).memoryLimit()
        #expect(limit.value == 1_073_741_824)
        #expect(limit.folder == "\(first)/a")
        try fixture.mountFirst(["memory"], path: "/")
        #expect(ControlGroups(fixture.machine).memoryLimit().value == nil)
        try fixture.mountUnified(path: "/x/y")
        #expect(ControlGroups(fixture.machine).memoryLimit().value == 536_870_912)
    }
}
