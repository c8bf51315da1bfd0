// SPDX-License-Identifier: Apache-2.0
import Glibc
import SystemPackage
import TestSupport

@testable import Noria
@testable import NoriaSystem

/// A machine made of files in a temporary folder, which goes with it.
final class MachineFixture {
    private let folder: TemporaryFolder
    var root: String { folder.path }

    /// A machine in good order, without control groups.
    init(_ files: [String: String] = [:]) throws {
        folder = try TemporaryFolder()
        for (path, text) in Self.plain.merging(files, uniquingKeysWith: { $1 }) {
            try write(text, to: path)
        }
    }

    var machine: Machine {
        machine(affinity: 8)
    }

    func machine(
        affinity: Int,
        limit: @escaping @Sendable (ResourceLimit) throws(Errno) -> (soft: Int?, hard: Int?) = {
            _ throws(Errno) in (1 << 30, 1 << 30)
        }
    ) -> Machine {
        Machine(root: root, affinityCount: affinity, limit: limit)
    }

    func write(_ text: String, to path: String) throws {
        var folder = root
        for name in path.split(separator: "/").dropLast() {
            folder += "/\(name)"
            mkdir(folder, 0o700)
        }
        let fd = open(root + path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        guard fd >= 0 else { throw ChildProcess.Failure("can't write \(path)") }
        Thread.write(text, to: fd)
        close(fd)
    }

    /// Makes a file one that nobody can read, root included: a folder stands there.
    func spoil(_ path: String) {
        unlink(root + path)
        mkdir(root + path, 0o700)
    }

    func remove(_ path: String) { TemporaryFolder.remove(root + path) }

    private static let plain = [
        "/proc/sys/kernel/osrelease": "6.12.7-generic\n",
        "/proc/sys/kernel/io_uring_disabled": "0\n",
        "/proc/sys/net/core/somaxconn": "4096\n",
        "/proc/sys/net/ipv4/tcp_max_syn_backlog": "1024\n",
        "/proc/sys/net/ipv4/tcp_syncookies": "1\n",
        "/proc/sys/net/ipv4/ip_local_port_range": "32768\t60999\n",
        "/proc/sys/net/ipv4/tcp_tw_reuse": "2\n",
        "/proc/self/status": "Name:\tnoria\nCapEff:\t0000000000000000\nSeccomp:\t0\n",
        "/proc/self/uid_map": "         0          0 4294967295\n",
        "/proc/self/cgroup": "",
        "/proc/self/mountinfo": "",
        "/sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
    ]

    // MARK: Control groups

    /// Version 2 alone: the process is in `path`.
    func mountUnified(path: String, root: String = "/") throws {
        try write("0::\(path)\n", to: "/proc/self/cgroup")
        try write(
            "22 1 0:21 / /proc rw,relatime - proc proc rw\n"
                + "30 22 0:26 \(root) /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n",
            to: "/proc/self/mountinfo"
        )
    }

    /// Version 1 for these controllers, each mounted where it always was.
    func mountFirst(
        _ controllers: [String],
        path: String,
        root: String = "/",
        hasUnified: Bool = false
    ) throws {
        var groups = "12:name=systemd:/init.scope\n"
        var mounts = ""
        for (index, names) in controllers.enumerated() {
            groups += "\(index + 1):\(names):\(path)\n"
            mounts +=
                "\(index + 40) 22 0:\(index + 40) \(root) /sys/fs/cgroup/\(names) rw,relatime"
                + " shared:9 master:1 - cgroup cgroup rw,\(names)\n"
        }
        if hasUnified {
            groups += "0::/user.slice\n"
            mounts += "60 22 0:60 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
        }
        try write(groups, to: "/proc/self/cgroup")
        try write(mounts, to: "/proc/self/mountinfo")
    }
}
