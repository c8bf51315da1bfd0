// SPDX-License-Identifier: Apache-2.0
internal import CNoria
internal import Glibc

/// What a thread has used of the processors since it began.
package struct ThreadUsage: Sendable, Equatable {
    package var processorNanoseconds: UInt64 = 0
    /// How often it was taken off a processor that it would have gone on using.
    package var involuntarySwitches: UInt64 = 0

    package init() {}

    /// Of the calling thread: one system call, 0.2 µs.
    package static var current: Self {
        let usage = noria_usage_of_this_thread()
        var result = Self()
        result.processorNanoseconds = usage.processor_nanoseconds
        result.involuntarySwitches = usage.involuntary_switches
        return result
    }
}

extension Thread {
    /// Gives the calling thread less of a contended processor: 0 is the default, 19 the least.
    ///
    /// On Linux the value is a thread's own, against what POSIX says.
    package static func lowerPriority(by niceness: Int32) {
        setpriority(__priority_which_t(PRIO_PROCESS.rawValue), id_t(noria_thread_id()), niceness)
    }
}

extension Thread.Joinable {
    /// The time that the thread has computed, asked by another; 0 when that can't be had.
    ///
    /// The thread must not have been joined.
    package var processorNanoseconds: UInt64 {
        var clock = clockid_t()
        var time = timespec()
        guard pthread_getcpuclockid(thread, &clock) == 0, clock_gettime(clock, &time) == 0 else {
            return 0
        }
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
