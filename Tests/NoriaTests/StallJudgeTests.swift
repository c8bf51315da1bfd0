// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Noria

/// The rules by which a turn is a stall, on times that are made up.
@Suite("which turns are stalls")
struct StallJudgeTests {
    private static let ms: UInt64 = 1_000_000
    private var judge = StallJudge(
        threshold: 100 * ms,
        reportThreshold: 1000 * ms,
        reportsPerMinute: 2
    )

    private static func look(
        _ now: UInt64,
        turnBegan: UInt64,
        delay: UInt64? = 0,
        pause: UInt64 = 0
    ) -> StallJudge.Look {
        StallJudge.Look(
            now: now * ms,
            turnBegan: turnBegan * ms,
            runQueueDelay: delay.map { $0 * ms },
            pause: pause * ms
        )
    }

    private static func turn(
        _ began: UInt64,
        _ ended: UInt64,
        delay: UInt64? = 0
    ) -> StallJudge.LongTurn {
        StallJudge.LongTurn(
            began: began * ms,
            ended: ended * ms,
            runQueueDelay: delay.map { $0 * ms }
        )
    }

    @Test("a loop that waits is none, however long")
    mutating func waiting() {
        for now in stride(from: UInt64(25), to: 100_000, by: 25) {
            #expect(judge.look(Self.look(now, turnBegan: 0)) == nil)
        }
        #expect(judge.stallCount == 0)
    }

    @Test("a turn that goes on is told once, when it is over the second threshold")
    mutating func lasting() {
        var told: [UInt64] = []
        for now in stride(from: UInt64(25), through: 3000, by: 25) {
            if let stall = judge.look(Self.look(now, turnBegan: 10)) {
                told.append(now)
                #expect(stall.length == (now - 10) * Self.ms)
            }
        }
        #expect(told == [1025])
        let ended = judge.judge(Self.turn(10, 3010), pause: 0)
        #expect(ended?.length == 3000 * Self.ms)
        #expect(ended?.wasReported == true)
        #expect(judge.stallCount == 1)
    }

    @Test("a turn of the threshold is one, one that is shorter by a millisecond is none")
    mutating func atTheThreshold() {
        #expect(judge.judge(Self.turn(1000, 1099), pause: 0) == nil)
        #expect(judge.judge(Self.turn(2000, 2100), pause: 0)?.length == 100 * Self.ms)
        #expect(judge.stallCount == 1)
    }

    @Test("what a thread waited for a processor is taken off, that from before the turn, too")
    mutating func runQueueDelay() {
        _ = judge.look(Self.look(1000, turnBegan: 0, delay: 500))
        // 300 ms of it waited for a processor, and 20 ms were waited for between look and turn.
        #expect(judge.judge(Self.turn(1020, 1400, delay: 820), pause: 0) == nil)
        // The same length with less: 380 - 220.
        #expect(judge.judge(Self.turn(1020, 1400, delay: 720), pause: 0)?.length == 160 * Self.ms)
    }

    @Test("a turn that only waits for a processor is never reported")
    mutating func starved() {
        _ = judge.look(Self.look(100, turnBegan: 0))
        for now in stride(from: UInt64(125), through: 10_000, by: 25) {
            #expect(judge.look(Self.look(now, turnBegan: 101, delay: now - 101)) == nil)
        }
        #expect(judge.judge(Self.turn(101, 10_010, delay: 9900), pause: 0) == nil)
    }

    @Test("half a processor: a stall counts what it did itself")
    mutating func halfAProcessor() {
        var told: [UInt64] = []
        _ = judge.look(Self.look(0, turnBegan: 0))
        for now in stride(from: UInt64(25), through: 5000, by: 25)
        where judge.look(Self.look(now, turnBegan: 1, delay: now / 2)) != nil {
            told.append(now)
        }
        #expect(told == [2025])
    }

    @Test("where the kernel counts no waits, none are taken off; unread ones make no stall")
    mutating func unreadDelays() {
        var other = judge
        _ = other.look(Self.look(100, turnBegan: 0, delay: nil))
        #expect(other.judge(Self.turn(200, 400, delay: nil), pause: 0)?.length == 200 * Self.ms)
        _ = judge.look(Self.look(100, turnBegan: 0, delay: 50))
        #expect(judge.judge(Self.turn(200, 400, delay: nil), pause: 0) == nil)
        // Nothing wraps round, whatever is added to it.
        #expect(judge.judge(Self.turn(500, 900, delay: nil), pause: 7 * Self.ms) == nil)
        #expect(judge.stallCount == 0)
    }

    @Test("what the whole process stood still is taken off")
    mutating func stopped() {
        _ = judge.look(Self.look(100, turnBegan: 0))
        #expect(judge.look(Self.look(125, turnBegan: 110)) == nil)
        // Stopped for 5 s, then awake together with the watchdog.
        #expect(judge.look(Self.look(5150, turnBegan: 110, pause: 5000)) == nil)
        #expect(judge.judge(Self.turn(110, 5160), pause: 0) == nil)
        // The turn is over before the watchdog has looked.
        _ = judge.look(Self.look(5175, turnBegan: 0))
        #expect(judge.judge(Self.turn(5180, 10_190), pause: 5000 * Self.ms) == nil)
        #expect(judge.stallCount == 0)
    }

    @Test("a stall around a stop is as long as it is without it")
    mutating func stoppedInAStall() {
        _ = judge.look(Self.look(100, turnBegan: 0))
        _ = judge.look(Self.look(125, turnBegan: 101))
        #expect(judge.look(Self.look(5150, turnBegan: 101, pause: 5000)) == nil)
        let told = judge.look(Self.look(6150, turnBegan: 101))
        #expect(told?.length == 1049 * Self.ms)
    }

    @Test("a new turn begins anew, with the delay that was seen before it")
    mutating func nextTurn() {
        _ = judge.look(Self.look(0, turnBegan: 0))
        _ = judge.look(Self.look(25, turnBegan: 1, delay: 20))
        // The one before has ended unseen, and the next began in between.
        _ = judge.look(Self.look(50, turnBegan: 40, delay: 20))
        let told = judge.look(Self.look(1040, turnBegan: 40, delay: 20))
        #expect(told?.length == 1000 * Self.ms)
    }

    @Test("so many a minute are told, the rest is counted and told with the next")
    mutating func perMinute() {
        var told: [(UInt64, Int)] = []
        for number in UInt64(0)..<32 {
            let began = 1 + number * 2000
            _ = judge.look(Self.look(began, turnBegan: 0))
            if let stall = judge.look(Self.look(began + 1000, turnBegan: began)) {
                told.append((began, stall.unreported))
            }
            _ = judge.judge(Self.turn(began, began + 1001), pause: 0)
        }
        #expect(told.map(\.0) == [1, 2001, 60_001, 62_001])
        #expect(told.map(\.1) == [0, 0, 28, 0])
        #expect(judge.suppressedCount == 28)
        #expect(judge.stallCount == 32)
    }

    @Test("none a minute: all are counted")
    mutating func noneAMinute() {
        judge = StallJudge(threshold: 1, reportThreshold: 1, reportsPerMinute: 0)
        #expect(judge.look(Self.look(10, turnBegan: 1)) == nil)
        #expect(judge.suppressedCount == 1)
    }
}
