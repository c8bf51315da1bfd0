// SPDX-License-Identifier: Apache-2.0
internal import CNoria
internal import Glibc

/// The events of one wait, in the kernel's own form, which it writes.
///
/// It is shared by the selectors: epoll(7) and poll(2) have the same bits.
package final class ReadinessEvents {
    /// The bits of an event.
    package enum Bits {
        package static let readable: UInt32 = 0x001
        package static let priority: UInt32 = 0x002
        package static let writable: UInt32 = 0x004
        package static let error: UInt32 = 0x008
        package static let hangUp: UInt32 = 0x010
        package static let readHangUp: UInt32 = 0x2000
        package static let edgeTriggered: UInt32 = 1 << 31
        /// Behind these an end or an error may lie: a read must look behind its data.
        package static let ends = priority | error | hangUp | readHangUp
        /// These end the other direction, too.
        package static let failures = error | hangUp
    }

    let start: UnsafeMutablePointer<epoll_event>
    package let capacity: Int

    package init(capacity: Int) {
        self.capacity = capacity
        start = .allocate(capacity: capacity)
        start.initialize(repeating: epoll_event(), count: capacity)
    }

    deinit { start.deallocate() }

    package subscript(index: Int) -> (bits: UInt32, cookie: UInt64) {
        get { (start[index].events, start[index].data.u64) }
        set {
            start[index] = epoll_event(
                events: newValue.bits,
                data: epoll_data(u64: newValue.cookie)
            )
        }
    }
}
