// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Noria

@Suite("A schedule has fixed ticks")
struct ScheduleTests {
    @Test(
        "The next tick is the first after now, in whole periods from the begin",
        arguments: [(0, 10), (1, 10), (9, 10), (10, 20), (11, 20), (25, 30), (1000, 1010)]
    )
    func ticks(moment: Int, next: Int) {
        let schedule = Schedule(every: .milliseconds(10))
        #expect(schedule.tick(after: .milliseconds(moment)) == .milliseconds(next))
    }

    @Test("A late tick does not move those after it")
    func noDrift() {
        let schedule = Schedule(every: .milliseconds(7))
        var moment = Duration.zero
        for count in 1...1000 {
            let tick = schedule.tick(after: moment)
            #expect(tick == .milliseconds(7) * count)
            moment = tick + .microseconds(count * 5)
        }
    }

    @Test("A period that would spin is taken for 1 ms, one beyond all time is never due")
    func extremes() {
        for period in [Duration.zero, .seconds(-5), .nanoseconds(1)] {
            #expect(Schedule(every: period).tick(after: .zero) == .milliseconds(1))
        }
        let far = Schedule(every: .seconds(Int64.max))
        #expect(far.tick(after: .zero) == .nanoseconds(Int64.max))
        #expect(far.tick(after: .seconds(Int64.max)) == .nanoseconds(Int64.max))
        #expect(Schedule(every: .seconds(1)).tick(after: .seconds(-3)) == .seconds(1))
    }
}
