// SPDX-License-Identifier: Apache-2.0
import NoriaEngine
import NoriaSystem
import Testing

@Suite struct SimulatedTimers {
    private final class Owner: TimerOwner {
        var fired: [UInt] = []
        func timerFired(_ context: UInt) { fired.append(context) }
    }

    /// What a queue has to do, said as plainly as possible: a list that is sorted when asked.
    private struct Model {
        var pending: [(deadline: UInt64, context: UInt)] = []

        var nextDeadline: UInt64? { pending.map(\.deadline).min() }

        mutating func popDue(now: UInt64) -> [(deadline: UInt64, context: UInt)] {
            let due = pending.filter { $0.deadline <= now }.sorted { $0.deadline < $1.deadline }
            pending.removeAll { $0.deadline <= now }
            return due
        }

        mutating func cancel(_ context: UInt) -> Bool {
            guard let index = pending.firstIndex(where: { $0.context == context }) else {
                return false
            }
            pending.remove(at: index)
            return true
        }
    }

    @Test("The timers of the wheel and the heap do what a sorted list does", arguments: 0..<60)
    func model(_ seed: Int) {
        var random = SplitMix64(seed: UInt64(seed))
        // Starts just below a carry of several digits of the wheel, where places change.
        var now = (UInt64(1) << UInt64(20 + 6 * (seed % 4 + 1))) &- 5_000_000
        var queue = TimerQueue(now: now)
        var model = Model()
        let owner = Owner()
        var identifiers: [(id: TimerID, context: UInt)] = []
        for step in 0..<600 {
            switch Int.random(in: 0..<10, using: &random) {
            case 0...4:
                // From nanoseconds to hours, the past included.
                let reach = UInt64(1) << UInt64.random(in: 0...43, using: &random)
                let deadline = now &+ UInt64.random(in: 0...reach, using: &random) &- min(now, 50)
                let context = UInt(step)
                identifiers.append(
                    (queue.add(deadline: deadline, owner: owner, context: context), context)
                )
                model.pending.append((deadline, context))
            case 5...6:
                // Often one that has fired or was cancelled: its slot may have another tenant.
                guard let (id, context) = identifiers.randomElement(using: &random) else { break }
                #expect(queue.cancel(id) == model.cancel(context), "seed \(seed), step \(step)")
            default:
                let reach = UInt64(1) << UInt64.random(in: 0...38, using: &random)
                now &+= UInt64.random(in: 0...reach, using: &random)
                var fired: [UInt] = []
                while let (_, context) = queue.popDue(now: now) { fired.append(context) }
                let due = model.popDue(now: now)
                #expect(Set(fired) == Set(due.map(\.context)), "seed \(seed), step \(step)")
                let deadlines = fired.map { context in
                    due.first { $0.context == context }?.deadline ?? .max
                }
                #expect(deadlines == deadlines.sorted(), "seed \(seed), step \(step)")
            }
            #expect(queue.count == model.pending.count)
            // It may ask to be woken too early, never too late, and never when nothing waits.
            let (next, wanted) = (queue.nextDeadline(), model.nextDeadline)
            #expect((next == nil) == (wanted == nil))
            if let next, let wanted { #expect(next <= wanted, "seed \(seed), step \(step)") }
        }
    }
}
