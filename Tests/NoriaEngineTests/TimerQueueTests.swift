// SPDX-License-Identifier: Apache-2.0
import NoriaEngine
import Testing

/// Notes who fired.
private final class Witness: TimerOwner {
    private(set) var fired: [UInt] = []
    func timerFired(_ context: UInt) { fired.append(context) }
}

extension TimerQueue {
    /// Fires all that is due, in order.
    fileprivate mutating func fire(now: UInt64) {
        while let (owner, context) = popDue(now: now) { owner.timerFired(context) }
    }
}

@Suite("TimerQueue fires each timer once, in order, never early")
struct TimerQueueTests {
    /// A tick of the wheel, 2²⁰ ns.
    private static let tick: UInt64 = 1 << 20
    private let witness = Witness()

    @Test(
        "A timer does not fire a nanosecond before its deadline, at any distance",
        arguments: [
            1, 999, 1 << 20, (1 << 20) + 1, 1 << 26, 63 << 20, 64 << 20, 65 << 20, 1 << 33,
            4095 << 20, 4096 << 20, 1 << 40, 1 << 45, 1 << 52, 1 << 58, 1 << 62,
        ] as [UInt64]
    )
    func neverEarly(distance: UInt64) {
        let start: UInt64 = 123_456_789_012
        var queue = TimerQueue(now: start)
        _ = queue.add(deadline: start + distance, owner: witness, context: 7)
        queue.fire(now: start)
        queue.fire(now: start + distance / 2)
        queue.fire(now: start + distance - 1)
        #expect(witness.fired == [])
        #expect(queue.count == 1)
        queue.fire(now: start + distance)
        #expect(witness.fired == [7])
        #expect(queue.count == 0)
        queue.fire(now: start + distance)
        #expect(witness.fired == [7])
    }

    @Test("A deadline that has passed is due at once, the earlier one first")
    func past() {
        var queue = TimerQueue(now: 1000 * Self.tick)
        _ = queue.add(deadline: 900 * Self.tick, owner: witness, context: 2)
        _ = queue.add(deadline: 5, owner: witness, context: 1)
        _ = queue.add(deadline: 0, owner: witness, context: 0)
        queue.fire(now: 1000 * Self.tick)
        #expect(witness.fired == [0, 1, 2])
    }

    @Test(
        "Timers of one deadline fire in the order in which they were added, at any distance",
        arguments: [0, 1, 10, 100, 5000, 300_000] as [UInt64]
    )
    func sameDeadline(ticks: UInt64) {
        var queue = TimerQueue(now: 0)
        let deadline = ticks * Self.tick + 77
        for context in 0..<50 as Range<UInt> {
            _ = queue.add(deadline: deadline, owner: witness, context: context)
        }
        // By now the wheel has turned and the same deadline is near: these come last all the same.
        queue.fire(now: deadline - 1)
        for context in 50..<60 as Range<UInt> {
            _ = queue.add(deadline: deadline, owner: witness, context: context)
        }
        queue.fire(now: deadline)
        #expect(witness.fired == Array(0..<60))
    }

    @Test("Deadlines decide the order, not the levels of the wheel that they stood on")
    func order() {
        var queue = TimerQueue(now: 0)
        let distances: [UInt64] = [1 << 45, 3, 1 << 21, 1 << 30, 1 << 26, (1 << 26) + 1, 1 << 38]
        for (index, distance) in distances.enumerated() {
            _ = queue.add(deadline: distance, owner: witness, context: UInt(index))
        }
        // One look, long after all of them.
        queue.fire(now: 1 << 50)
        #expect(witness.fired == [1, 2, 4, 5, 3, 6, 0])
    }

    @Test("A cancelled timer never fires, wherever it stood, and cancelling is told apart")
    func cancel() {
        var queue = TimerQueue(now: 0)
        let near = queue.add(deadline: 10, owner: witness, context: 1)
        let far = queue.add(deadline: 1 << 40, owner: witness, context: 2)
        let kept = queue.add(deadline: 20, owner: witness, context: 3)
        #expect(queue.cancel(near) == true)
        #expect(queue.cancel(near) == false)
        #expect(queue.cancel(far) == true)
        #expect(queue.cancel(far) == false)
        #expect(queue.count == 1)
        queue.fire(now: 1 << 41)
        #expect(witness.fired == [3])
        #expect(queue.cancel(kept) == false)
        #expect(queue.nextDeadline() == nil)
    }

    @Test("The number of a timer that has fired does not cancel the next tenant of its place")
    func reuse() {
        var queue = TimerQueue(now: 0)
        let first = queue.add(deadline: 1, owner: witness, context: 1)
        queue.fire(now: 1)
        let second = queue.add(deadline: 2, owner: witness, context: 2)
        #expect(first != second)
        #expect(queue.cancel(first) == false)
        queue.fire(now: 2)
        #expect(witness.fired == [1, 2])
    }

    @Test("A cancelled timer lets go of its owner at once")
    func letsGo() {
        var queue = TimerQueue(now: 0)
        weak var seen: Witness?
        do {
            let owner = Witness()
            seen = owner
            let near = queue.add(deadline: 5, owner: owner)
            let far = queue.add(deadline: 1 << 40, owner: owner)
            queue.cancel(near)
            queue.cancel(far)
        }
        #expect(seen == nil)
        #expect(queue.count == 0)
    }

    @Test("The next deadline is never later than the earliest timer's, and gets there")
    func nextDeadline() throws {
        var queue = TimerQueue(now: 0)
        #expect(queue.nextDeadline() == nil)
        let deadline: UInt64 = (1 << 44) + 12_345
        _ = queue.add(deadline: deadline, owner: witness)
        var looks = 0
        while let next = queue.nextDeadline(), queue.count > 0 {
            #expect(next <= deadline)
            // A loop sleeps until then and looks: it must come nearer each time, not spin.
            queue.fire(now: next)
            looks += 1
            guard looks <= 10 else { break }
        }
        // One look a level, and one for the deadline itself.
        #expect(looks <= 9)
        #expect(witness.fired.count == 1)
    }

    @Test("A timer that is armed again as it fires is due in a later look, not in this one")
    func rearm() {
        final class Again: TimerOwner {
            var count = 0
            func timerFired(_ context: UInt) { count += 1 }
        }
        let again = Again()
        var queue = TimerQueue(now: 0)
        _ = queue.add(deadline: 10, owner: again)
        for now in stride(from: 10 as UInt64, through: 50, by: 10) {
            while let (owner, context) = queue.popDue(now: now) {
                owner.timerFired(context)
                _ = queue.add(deadline: now + 10, owner: again)
            }
        }
        #expect(again.count == 5)
    }

    @Test("100,000 time-outs that are cancelled leave no growth behind")
    func bounded() {
        var queue = TimerQueue(now: 0)
        var ids: Set<TimerID> = []
        for round in 0..<100_000 as Range<UInt64> {
            let now = round * 1000
            let id = queue.add(deadline: now + (30 << 30), owner: witness)
            ids.insert(id)
            #expect(queue.cancel(id) == true)
            while let (owner, context) = queue.popDue(now: now) { owner.timerFired(context) }
        }
        #expect(queue.count == 0)
        #expect(witness.fired == [])
        // Each has a number of its own although all stood in one place.
        #expect(ids.count == 100_000)
    }

    @Test(
        "Against a list that is searched, any mix of adds, cancels and jumps agrees",
        arguments: 1...40
    )
    func model(seed: UInt64) {
        struct Entry: Equatable {
            let deadline: UInt64
            let context: UInt
        }
        var random = SplitMix64(seed: seed)
        var now = UInt64.random(in: 0...(1 << 50), using: &random)
        var queue = TimerQueue(now: now)
        var model: [(entry: Entry, id: TimerID)] = []
        var context: UInt = 0
        var expected: [UInt] = []
        var cancelledCount = 0
        for _ in 0..<2000 {
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<5:
                // Every order of magnitude, equal ones and past ones among them.
                let bits = UInt64.random(in: 0...44, using: &random)
                let distance = UInt64.random(in: 0...(1 << bits), using: &random)
                let isPast = random.chance(5)
                var deadline = isPast ? now &- min(now, distance) : now + distance
                if random.chance(30), let other = model.randomElement(using: &random) {
                    deadline = other.entry.deadline
                }
                let id = queue.add(deadline: deadline, owner: witness, context: context)
                model.append((Entry(deadline: deadline, context: context), id))
                context += 1
            case 5..<7:
                guard let index = model.indices.randomElement(using: &random) else { continue }
                #expect(queue.cancel(model[index].id) == true)
                model.remove(at: index)
                cancelledCount += 1
            default:
                let bits = UInt64.random(in: 0...36, using: &random)
                now += UInt64.random(in: 0...(1 << bits), using: &random)
                queue.fire(now: now)
                // Contexts grow as timers are added: sorting by them is sorting by insertion.
                let due = model.map(\.entry).filter { $0.deadline <= now }
                    .sorted { ($0.deadline, $0.context) < ($1.deadline, $1.context) }
                expected += due.map(\.context)
                model.removeAll { $0.entry.deadline <= now }
            }
            #expect(queue.count == model.count)
            let earliest = model.map(\.entry.deadline).min()
            let next = queue.nextDeadline()
            #expect((next == nil) == (earliest == nil))
            if let next, let earliest { #expect(next <= earliest) }
            guard witness.fired == expected else { break }
        }
        #expect(witness.fired == expected, "seed \(seed)")
        // The mix was one.
        #expect(expected.count > 100 && cancelledCount > 100, "seed \(seed)")
    }
}
