// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport

/// Two control groups of this machine, one in the other: the outer one has a quota.
struct RealGroup {
    let parent: String
    var child: String { "\(parent)/inner" }

    /// Nil, with a line that says why, where no quota may be written.
    init?(quota: Double) {
        // Version 1 alone or in a hybrid has a folder for the controller; version 2 has none.
        let first = ["cpu", "cpu,cpuacct"].map { "/sys/fs/cgroup/\($0)" }
            .first { access("\($0)/cpu.cfs_quota_us", F_OK) == 0 }
        parent = "\(first ?? "/sys/fs/cgroup")/noria-test-\(getpid())-\(Int(quota * 10))"
        let microseconds = Int(quota * 100_000)
        let isMade = mkdir(parent, 0o755) == 0 && mkdir(child, 0o755) == 0
        let isWritten =
            first == nil
            ? Self.write("\(microseconds) 100000", to: "\(parent)/cpu.max")
            : Self.write("100000", to: "\(parent)/cpu.cfs_period_us")
                && Self.write("\(microseconds)", to: "\(parent)/cpu.cfs_quota_us")
        guard isMade, isWritten else {
            print(
                "skipped: no quota may be written at \(parent): \(String(cString: strerror(errno)))"
            )
            remove()
            return nil
        }
    }

    /// The processes that were in it have been waited for.
    func remove() {
        rmdir(child)
        rmdir(parent)
    }

    private static func write(_ text: String, to path: String) -> Bool {
        let fd = open(path, O_WRONLY | O_CLOEXEC)
        guard fd >= 0 else { return false }
        defer { close(fd) }
        return Glibc.write(fd, text, text.utf8.count) == text.utf8.count
    }
}
