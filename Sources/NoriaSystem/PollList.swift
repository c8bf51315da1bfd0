// SPDX-License-Identifier: Apache-2.0
internal import CNoria
internal import Glibc

/// The descriptors of one poll(2), in the kernel's own form, which reads and answers it.
///
/// It is dense, since the kernel goes through all of it at every wait. An entry whose bits are
/// empty is passed over: the kernel would report a hang-up for it all the same, without end.
package struct PollList: ~Copyable {
    /// poll(2): the descriptor was closed underneath us.
    private static let invalid: UInt32 = 0x020

    private var start: UnsafeMutablePointer<pollfd>
    private var capacity: Int
    package private(set) var count = 0

    package init(capacity: Int = 64) {
        self.capacity = capacity
        start = .allocate(capacity: capacity)
    }

    deinit { start.deallocate() }

    package mutating func append(_ fd: Int32, bits: UInt32) {
        if count == capacity { grow() }
        (start + count).initialize(to: Self.entry(fd, bits))
        count += 1
    }

    package mutating func replace(at index: Int, with fd: Int32, bits: UInt32) {
        start[index] = Self.entry(fd, bits)
    }

    /// Moves the last entry into the place of this one.
    package mutating func removeByMovingLast(to index: Int) {
        count -= 1
        start[index] = start[count]
    }

    /// What the last wait said of an entry; a closed descriptor is an error.
    package func answer(at index: Int) -> UInt32 {
        let bits = UInt32(UInt16(bitPattern: start[index].revents))
        return bits & Self.invalid == 0 ? bits : bits | ReadinessEvents.Bits.error
    }

    /// Waits for `nanoseconds`, without end when negative.
    ///
    /// How many entries have an answer, or a negative error.
    package func wait(nanoseconds: Int64) -> Int {
        noria_poll(start, UInt(count), nanoseconds)
    }

    private static func entry(_ fd: Int32, _ bits: UInt32) -> pollfd {
        // A negative number is passed over; `~fd` is one for each descriptor, 0 included.
        pollfd(
            fd: bits == 0 ? ~fd : fd,
            events: Int16(truncatingIfNeeded: bits),
            revents: 0
        )
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<pollfd>.allocate(capacity: capacity * 2)
        larger.moveInitialize(from: start, count: count)
        start.deallocate()
        (start, capacity) = (larger, capacity * 2)
    }
}
