// SPDX-License-Identifier: Apache-2.0
internal import CNoria
internal import Glibc
internal import SystemPackage

/// How long a thread has stood ready without a processor, since it began: because others had them,
/// or because its control group had used its quota.
///
/// It is the second number of /proc/self/task/TID/schedstat, in nanoseconds. A thread that blocks
/// in the kernel, or was stopped, adds nothing to it.
package struct RunQueueDelay: ~Copyable {
    private let file: Int32

    /// Of a thread of this process; nil where the kernel keeps no such count.
    package init?(thread: Int32) {
        file = open("/proc/self/task/\(thread)/schedstat", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        guard read() != nil else {
            Descriptor.close(file)
            return nil
        }
    }

    deinit { Descriptor.close(file) }

    /// Any thread, about 1 µs; nil when the thread has gone.
    package func read() -> UInt64? {
        withUnsafeTemporaryAllocation(byteCount: 96, alignment: 1) { bytes in
            let count = pread(file, bytes.baseAddress, bytes.count, 0)
            guard count > 0 else { return nil }
            let numbers = bytes.prefix(count).split(separator: UInt8(ascii: " "))
            guard numbers.count >= 2 else { return nil }
            return numbers[1].reduce(0) { $0 * 10 + UInt64($1 &- UInt8(ascii: "0")) }
        }
    }

    /// Of the calling thread; nil where the kernel keeps no such count, or no descriptor is left.
    package static var ofThisThread: UInt64? { RunQueueDelay(thread: Thread.id)?.read() }
}
