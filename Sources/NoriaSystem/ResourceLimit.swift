// SPDX-License-Identifier: Apache-2.0
internal import Glibc
package import SystemPackage

/// A limit of the kernel on this process, or on its user (getrlimit(2)).
package enum ResourceLimit: Sendable {
    /// RLIMIT_NOFILE: one more than the highest descriptor.
    case descriptors
    /// RLIMIT_NPROC: threads of this user, in all of its processes.
    case processes
    /// RLIMIT_MEMLOCK: bytes that may not be swapped out, of this user where rings are charged.
    case lockedByteCount

    /// What is in force, and up to what a process may raise that itself; nil is no limit.
    package func read() throws(Errno) -> (soft: Int?, hard: Int?) {
        let resource =
            switch self {
            case .descriptors: RLIMIT_NOFILE
            case .processes: __RLIMIT_NPROC
            case .lockedByteCount: __RLIMIT_MEMLOCK
            }
        var limit = rlimit()
        _ = try check(getrlimit(__rlimit_resource_t(resource.rawValue), &limit))
        // RLIM_INFINITY is the largest number of all.
        return (Int(exactly: limit.rlim_cur), Int(exactly: limit.rlim_max))
    }
}
