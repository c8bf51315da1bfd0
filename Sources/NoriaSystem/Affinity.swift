// SPDX-License-Identifier: Apache-2.0
internal import CNoria
internal import Glibc

/// The processors that the kernel lets this process run on (sched_setaffinity(2), cpusets).
package enum Affinity {
    /// How many there are for the process's first thread, from which others inherit: at least 1.
    package static var processorCount: Int {
        let count = noria_affinity_count()
        // A filter may refuse the question: then all that are there.
        return max(1, count > 0 ? count : sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    }
}
