// SPDX-License-Identifier: Apache-2.0

/// Who is told that a timer is due.
package protocol TimerOwner: AnyObject {
    /// Loop thread only.
    func timerFired(_ context: UInt)
}

/// A timer's place and generation.
///
/// Cancelling one that has fired does nothing.
package struct TimerID: Hashable, Sendable {
    fileprivate let slot: UInt32
    fileprivate let generation: UInt32
}

/// The timers of one engine: a wheel for those that are far, a heap for those that are near.
///
/// Most timers are time-outs that never fire, so adding and cancelling in the wheel is a change
/// of links: O(1). The wheel turns in ticks of about a millisecond, too coarse to fire by: as a
/// tick begins its timers move to the heap, which orders them to the nanosecond. So none fires
/// early, and those that are due fire in the order of their deadlines.
///
/// Level `n` has 64 slots of 64ⁿ ticks. A timer stands at the level of the highest digit (base
/// 64) in which its tick differs from the present one, and moves down as that digit is reached.
package struct TimerQueue: ~Copyable {
    private struct Timer {
        var deadline: UInt64
        var owner: (any TimerOwner)?
        var context: UInt
        /// The number of the adding: the order among timers of one deadline.
        var sequence: UInt64
        var generation: UInt32
        /// Links of the slot's ring, or of the free list.
        var previous: UInt32
        var next: UInt32
        var place: Place
    }

    private enum Place {
        case wheel(level: UInt8, slot: UInt8)
        case heap
        case free
    }

    private struct Due {
        var deadline: UInt64
        var sequence: UInt64
        var timer: UInt32
        static func < (left: Due, right: Due) -> Bool {
            (left.deadline, left.sequence) < (right.deadline, right.sequence)
        }
    }

    private static let none = UInt32.max
    /// A tick is 2²⁰ ns, 1.05 ms.
    private static let tickShift: UInt64 = 20
    /// Eight digits of 6 bits hold all 44 bits of a tick.
    private static let levelCount = 8

    private var timers: [Timer] = []
    private var firstFree = none
    private var heads = [UInt32](repeating: none, count: levelCount * 64)
    private var occupied = [UInt64](repeating: 0, count: levelCount)
    private var heap: [Due] = []
    private var sequence: UInt64 = 0
    private var tick: UInt64
    package private(set) var count = 0

    package init(now: UInt64) { tick = now >> Self.tickShift }

    /// Adds a timer that fires at `deadline` or as soon after it as the loop turns.
    package mutating func add(
        deadline: UInt64,
        owner: any TimerOwner,
        context: UInt = 0
    ) -> TimerID {
        sequence &+= 1
        let index: UInt32
        if firstFree != Self.none {
            index = firstFree
            firstFree = timers[Int(index)].next
            timers[Int(index)].owner = owner
            timers[Int(index)].deadline = deadline
            timers[Int(index)].context = context
            timers[Int(index)].sequence = sequence
        } else {
            index = UInt32(timers.count)
            timers.append(
                Timer(
                    deadline: deadline,
                    owner: owner,
                    context: context,
                    sequence: sequence,
                    generation: 0,
                    previous: Self.none,
                    next: Self.none,
                    place: .free
                )
            )
        }
        count += 1
        place(index)
        return TimerID(slot: index, generation: timers[Int(index)].generation)
    }

    /// Who waits, in no order.
    package var owners: [any TimerOwner] { timers.compactMap(\.owner) }

    /// Takes a timer back; false when it has fired, or was taken back before.
    @discardableResult
    package mutating func cancel(_ id: TimerID) -> Bool {
        let index = Int(id.slot)
        guard index < timers.count, timers[index].generation == id.generation,
            timers[index].owner != nil
        else { return false }
        timers[index].owner = nil
        count -= 1
        switch timers[index].place {
        case .wheel(let level, let slot):
            unlink(id.slot, level: Int(level), slot: Int(slot))
            release(id.slot)
        case .heap:
            // The heap holds one tick's timers: it drops this one when its turn comes.
            break
        case .free:
            preconditionFailure("a free timer has no owner")
        }
        return true
    }

    /// When to look next: never later than the next deadline, and perhaps earlier.
    package mutating func nextDeadline() -> UInt64? {
        dropCancelled()
        if let first = heap.first { return first.deadline }
        return nextOccupiedTick().map { $0.tick << Self.tickShift }
    }

    /// Removes one timer that is due, the earliest first.
    package mutating func popDue(now: UInt64) -> (owner: any TimerOwner, context: UInt)? {
        advance(to: now >> Self.tickShift)
        dropCancelled()
        guard let first = heap.first, first.deadline <= now else { return nil }
        popHeap()
        let index = Int(first.timer)
        guard let owner = timers[index].owner.take() else { preconditionFailure("dropped above") }
        count -= 1
        let context = timers[index].context
        release(first.timer)
        return (owner, context)
    }

    // MARK: The wheel

    private mutating func place(_ index: UInt32) {
        let due = timers[Int(index)].deadline >> Self.tickShift
        guard due > tick else { return pushHeap(index) }
        let level = (63 - (due ^ tick).leadingZeroBitCount) / 6
        let slot = Int(due >> UInt64(6 * level)) & 63
        let head = heads[level * 64 + slot]
        timers[Int(index)].place = .wheel(level: UInt8(level), slot: UInt8(slot))
        timers[Int(index)].previous = Self.none
        timers[Int(index)].next = head
        if head != Self.none { timers[Int(head)].previous = index }
        heads[level * 64 + slot] = index
        occupied[level] |= 1 << UInt64(slot)
    }

    private mutating func unlink(_ index: UInt32, level: Int, slot: Int) {
        let (previous, next) = (timers[Int(index)].previous, timers[Int(index)].next)
        if next != Self.none { timers[Int(next)].previous = previous }
        if previous != Self.none {
            timers[Int(previous)].next = next
        } else {
            heads[level * 64 + slot] = next
            if next == Self.none { occupied[level] &= ~(1 << UInt64(slot)) }
        }
    }

    private mutating func release(_ index: UInt32) {
        timers[Int(index)].generation &+= 1
        timers[Int(index)].place = .free
        timers[Int(index)].next = firstFree
        firstFree = index
    }

    /// The next slot that holds timers.
    ///
    /// The lowest level that has one has the earliest.
    private func nextOccupiedTick() -> (tick: UInt64, level: Int)? {
        for level in 0..<Self.levelCount {
            let shift = UInt64(6 * level)
            let digit = tick >> shift & 63
            // Those behind the present digit: a shift by 64 gives 0, as it should.
            let ahead = occupied[level] & (~0 << (digit + 1))
            guard ahead != 0 else { continue }
            let base = (tick >> (shift + 6)) << (shift + 6)
            return (base | UInt64(ahead.trailingZeroBitCount) << shift, level)
        }
        return nil
    }

    private mutating func advance(to target: UInt64) {
        while tick < target {
            guard let (next, level) = nextOccupiedTick(), next <= target else {
                tick = target
                return
            }
            tick = next
            let slot = Int(next >> UInt64(6 * level)) & 63
            var index = heads[level * 64 + slot]
            heads[level * 64 + slot] = Self.none
            occupied[level] &= ~(1 << UInt64(slot))
            while index != Self.none {
                let following = timers[Int(index)].next
                place(index)
                index = following
            }
        }
    }

    // MARK: The heap

    private mutating func dropCancelled() {
        while let first = heap.first, timers[Int(first.timer)].owner == nil {
            popHeap()
            release(first.timer)
        }
    }

    private mutating func pushHeap(_ index: UInt32) {
        timers[Int(index)].place = .heap
        let timer = timers[Int(index)]
        heap.append(Due(deadline: timer.deadline, sequence: timer.sequence, timer: index))
        var child = heap.count - 1
        while child > 0, heap[child] < heap[(child - 1) / 2] {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    private mutating func popHeap() {
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var parent = 0
        while true {
            var smallest = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < heap.count && heap[child] < heap[smallest] {
                smallest = child
            }
            guard smallest != parent else { return }
            heap.swapAt(parent, smallest)
            parent = smallest
        }
    }
}
