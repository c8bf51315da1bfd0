// SPDX-License-Identifier: Apache-2.0
internal import CNoria
internal import Glibc
package import SystemPackage

/// How many descriptors the process may have open: RLIMIT_NOFILE.
package enum DescriptorLimit {
    /// What is in force, and up to what an unprivileged process may raise that.
    package static func read() throws(Errno) -> (soft: UInt64, hard: UInt64) {
        var limit = rlimit()
        _ = try check(getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit))
        return (UInt64(limit.rlim_cur), UInt64(limit.rlim_max))
    }

    /// Changes what is in force; the hard limit stays.
    package static func set(soft: UInt64) throws(Errno) {
        let hard = try read().hard
        var limit = rlimit(rlim_cur: rlim_t(soft), rlim_max: rlim_t(hard))
        _ = try check(setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit))
    }

    /// Gives children by `fork` this limit from now on; nil leaves them what the process has.
    ///
    /// `posix_spawn`, `vfork` and a raw `clone` run no handler: see docs/decisions/0009.
    package static func setInForks(soft: UInt64?) {
        noria_set_fork_descriptor_limit(soft ?? 0)
    }
}
