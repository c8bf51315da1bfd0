// SPDX-License-Identifier: Apache-2.0
import SystemPackage
import TestSupport
import Testing

@testable import Noria
@testable import NoriaSystem

@Suite("Signals, limits and sockets of a process, from files made for it")
struct ProcessLimitsTests {
    @Test(
        "What the masks prove of SIGTERM",
        arguments: [
            (ProcessFixture.status(caught: [15]), MachineCheck.State.ok, "has a handler"),
            (ProcessFixture.status(), .change, "ends it at once"),
            (ProcessFixture.status(caught: [2]), .change, "SIGINT is caught"),
            (ProcessFixture.status(ignored: [15, 2]), .change, "SIGTERM is ignored"),
            (ProcessFixture.status(blocked: [15]), .unknown, "SIGTERM is blocked"),
            (ProcessFixture.status(other: "NSpid:\t77\t1\n"), .change, "process 1 of its"),
            (ProcessFixture.status(caught: [15], other: "NSpid:\t77\t1\n"), .ok, "has a handler"),
        ]
    )
    func masks(status: String, state: MachineCheck.State, finding: String) throws {
        let row = try ProcessFixture(["status": status]).row("shutdown")
        #expect(row.state == state, "\(row)")
        #expect(row.finding.contains(finding), "\(row)")
        #expect((row.advice != nil) == (state != .ok), "\(row)")
    }

    @Test("A signalfd with SIGTERM in its mask takes it")
    func signalfd() throws {
        let fixture = try ProcessFixture(
            [
                "status": ProcessFixture.status(blocked: [15]),
                "fdinfo/6": "pos:\t0\nflags:\t02\nsigmask:\t0000000000004000\n",
            ],
            links: ["fd/6": "anon_inode:[signalfd]"]
        )
        #expect(try fixture.row("shutdown").state == .ok)
        try fixture.write("sigmask:\t0000000000000002\n", to: "fdinfo/6")
        #expect(try fixture.row("shutdown").state == .unknown)
    }

    @Test(
        "Who stops it is read from its control group",
        arguments: [
            ("0::/system.slice/shop.service\n", "systemd stops it as shop.service"),
            ("0::/kubepods/burstable/pod1/abc\n", "Kubernetes stops it"),
            ("0::/system.slice/docker-abc.scope\n", "Docker stops it"),
            ("0::/user.slice/user-1000.slice/session-2.scope\n", nil),
        ]
    )
    func supervisor(group: String, text: String?) throws {
        let row = try ProcessFixture(["cgroup": group]).row("shutdown")
        #expect(row.finding.contains(text ?? "handler"))
        #expect((row.advice != nil) == (text != nil))
    }

    @Test("Descriptors: a narrow limit and one that is nearly used are to be changed")
    func descriptors() throws {
        func row(_ limit: String) throws -> ProcessRow {
            try ProcessFixture([
                "limits": "Max processes             unlimited            4000    processes \n"
                    + "Max open files            \(limit)                65536   files     \n"
            ]).row("descriptors")
        }
        #expect(try row("65536").state == .ok)
        #expect(try row("65536").value == 4)
        #expect(try row("unlimited").state == .ok)
        #expect(try row("1024").state == .change)
        #expect(try row("5").advice?.contains("nobody closes") == true)
        #expect(try row("many").state == .unknown)
    }

    @Test("Threads: the group's own count stands against its limit")
    func threads() throws {
        let fixture = try ProcessFixture(["cgroup": "0::/a\n"])
        try fixture.machine.mountUnified(path: "/")
        try fixture.machine.write("100", to: "/sys/fs/cgroup/a/pids.max")
        try fixture.machine.write("79", to: "/sys/fs/cgroup/a/pids.current")
        #expect(try fixture.row("threads").state == .ok)
        try fixture.machine.write("80", to: "/sys/fs/cgroup/a/pids.current")
        let row = try fixture.row("threads")
        #expect(row.state == .change)
        #expect(row.value == 1)
        #expect(row.finding.contains("80 of 100 in its control group /sys/fs/cgroup/a"))
    }

    @Test("A quota that held it back in more than one period of twenty is to be changed")
    func quota() throws {
        let fixture = try ProcessFixture(["cgroup": "0::/a\n"])
        try fixture.machine.mountUnified(path: "/")
        try fixture.machine.write("max 100000", to: "/sys/fs/cgroup/a/cpu.max")
        #expect(try fixture.row("processor quota").state == .ok)
        try fixture.machine.write("150000 100000", to: "/sys/fs/cgroup/a/cpu.max")
        let stat = "/sys/fs/cgroup/a/cpu.stat"
        try fixture.machine.write("usage_usec 1\nnr_periods 1000\nnr_throttled 50\n", to: stat)
        #expect(try fixture.row("processor quota").state == .ok)
        try fixture.machine.write("usage_usec 1\nnr_periods 1000\nnr_throttled 51\n", to: stat)
        let row = try fixture.row("processor quota")
        #expect(row.state == .change)
        #expect(row.value == 51)
        #expect(row.finding.contains("1.5 processors"))
    }

    @Test("Switches and processors are those between two looks")
    func activity() throws {
        let fixture = try ProcessFixture()
        let before = try ProcessThreads(fixture.folder())
        try fixture.thread(77, named: "python3", switches: 2003)
        try fixture.write("5000000000 3000000 5\n", to: "task/77/schedstat")
        let after = try ProcessThreads(fixture.folder())
        let activity = ThreadActivity(from: before, to: after)
        #expect(activity.involuntarySwitches == 2000)
        #expect(activity.busyCount == 1)
        #expect(activity.processors ?? 0 > 0)
    }

    @Test("Sockets of the process alone, by inode; TIME_WAIT by its ports")
    func sockets() throws {
        let own = (0..<10).map { (port: 8080, state: "08", inode: 600 + $0) }
        let others: [(port: Int, state: String, inode: Int)] = [
            (8080, "0A", 500), (8080, "06", 0), (8080, "06", 0), (9, "06", 0), (9, "08", 999),
            (7, "0A", 998),
        ]
        let fixture = try ProcessFixture(
            ["net/tcp": ProcessFixture.sockets(others + own)],
            links: Dictionary(
                uniqueKeysWithValues: (0..<9).map { ("fd/\(20 + $0)", "socket:[\(600 + $0)]") }
            )
        )
        let few = try fixture.row("CLOSE_WAIT")
        #expect(few.state == .unknown)
        #expect(few.value == 9)
        try fixture.link("fd/30", to: "socket:[609]")
        #expect(try fixture.row("CLOSE_WAIT").state == .change)
        let row = try fixture.row("TIME_WAIT")
        #expect(row.state == .ok)
        #expect(row.value == 2)
        #expect(row.finding.contains("of 3 here"))
        try fixture.link("fd/4", to: "/dev/null")
        #expect(try fixture.row("TIME_WAIT").state == .unknown)
    }

    @Test("Garbage in the tables of sockets is passed over")
    func garbage() {
        var table = SocketTable()
        let text = "head\n\n 1: x\n 2: 00:ZZ 00:00 0A 1 1 1 1 1 -5 1\n 3: : : 06 : : : : : :\n"
        table.add(Array(text.utf8), from: "x")
        #expect(table.listening.isEmpty && table.closeWait.isEmpty && table.timeWait.isEmpty)
    }

    // MARK: Refusals

    @Test("What can't be looked at is refused in one sentence that says why")
    func refusals() throws {
        func text(_ fixture: ProcessFixture, user: UInt32 = 1000, is: Bool = true) -> String {
            let error = #expect(throws: ProcessRefusal.self) {
                try ProcessLook(fixture.folder(user: user) { _ in `is` }, sample: .zero)
            }
            return error.map { "\($0)" } ?? ""
        }
        let gone = try ProcessFixture()
        gone.remove("")
        #expect(text(gone, is: false).hasPrefix("there is no process 77 here"))
        #expect(text(gone, is: true).contains("hidepid"))
        gone.machine.remove("/proc")
        #expect(text(gone).contains("/proc is not mounted"))
        for (status, words) in [
            ("Name:\tpool\nTgid:\t70\n", "77 is a thread (pool) of process 70"),
            ("Name:\tz\nTgid:\t77\nState:\tZ (zombie)\nPPid:\t12\n", "its parent 12 has not taken"),
            ("Name:\tkthreadd\nTgid:\t77\nState:\tS (sleeping)\n", "a thread of the kernel"),
            ("Name:\tk\nTgid:\t77\nKthread:\t1\nVmSize:\t1\n", "a thread of the kernel"),
        ] {
            #expect(text(try ProcessFixture(["status": status])).contains(words))
        }
        let hidden = try ProcessFixture()
        hidden.remove("fd")
        try hidden.machine.write("root:x:0:0::/:\nann:x:1000:1000::/:\n", to: "/etc/passwd")
        #expect(text(hidden, user: 33).contains("belongs to user 1000 (ann)"))
        #expect(text(hidden, user: 1000).contains("run this as root"))
        let root = text(hidden, user: 0)
        #expect(root.contains("of user 1000 (ann)") && root.contains("CAP_SYS_PTRACE"))
        #expect(!root.contains("run this as"))
    }

    @Test("A file that is no ELF, or one that lies, says nothing and ends nothing")
    func executables() throws {
        let folder = try TemporaryFolder()
        let path = "\(folder.path)/x"
        var bytes = [UInt8](repeating: 0xff, count: 400)
        bytes.replaceSubrange(0..<6, with: [0x7f, 0x45, 0x4c, 0x46, 2, 1])
        for count in [0, 5, 63, 64, 400] {
            try write(Array(bytes.prefix(count)), to: path)
            #expect(Self.findings(path) == (count < 64 ? nil : [false, false, false]))
        }
        // Section headers of the right size that point to nowhere.
        bytes.replaceSubrange(54..<64, with: [56, 0, 3, 0, 64, 0, 5, 0, 1, 0])
        bytes.replaceSubrange(32..<48, with: [64, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0])
        try write(bytes, to: path)
        #expect(Self.findings(path) == [false, false, false])
    }

    /// Whether it is Go's, has a version of Go, has a section of symbols; nil when it is no ELF.
    private static func findings(_ path: String) -> [Bool]? {
        guard let file = ExecutableFile(path) else { return nil }
        return [file.isGo, file.goVersion != nil, file.holds("x", in: ".strtab") != nil]
    }

    private func write(_ bytes: [UInt8], to path: String) throws {
        let fd = try Files.open(FilePath(path), flags: 0x241, permissions: .ownerReadWrite)
        defer { Descriptor.close(fd) }
        _ = try bytes.withUnsafeBytes { try Files.write(fd, $0, at: 0) }
    }
}
