// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
internal import Synchronization

/// What a loop tells its watchdog: when the present turn began, and each turn that was too long.
///
/// One store as a turn begins and one as it ends, and no system call but for a turn over the limit.
struct TurnLog: ~Copyable, Sendable {
    /// As in `StallJudge.Look`.
    private let began = Atomic<UInt64>(0)
    private let limit = Atomic<UInt64>(.max)
    private let thread = Atomic<Int32>(0)
    private let longTurns = Guarded<[StallJudge.LongTurn]>([])

    let turnLength = Histogram()
    private let runBegan = Atomic<UInt64>(0)
    /// 0 while the loop turns.
    private let runEnded = Atomic<UInt64>(0)
    private let stalls = Atomic<UInt64>(0)
    private let suppressed = Atomic<UInt64>(0)

    /// More than there can be between two looks, unless the watchdog itself is kept.
    private static let longTurnLimit = 64

    /// The thread that turns the loop, or has turned it last, by its number in /proc.
    ///
    /// Any thread.
    var threadID: Int32 { thread.load(ordering: .acquiring) }

    /// Any thread.
    var turnBegan: UInt64 { began.load(ordering: .relaxed) }

    /// How long the present turn has lasted; 0 when the loop waits in the kernel.
    ///
    /// Any thread.
    func presentTurn(_ now: UInt64) -> UInt64 {
        let began = turnBegan
        // Its clock may have been read after the caller's.
        return began == 0 || began > now ? 0 : now &- began
    }

    /// The watchdog takes an interest in turns from this length on.
    ///
    /// Any thread.
    func watch(from nanoseconds: UInt64) { limit.store(nanoseconds, ordering: .relaxed) }

    /// Loop thread only.
    func beginRun(_ now: UInt64) {
        turnLength.reset()
        // The last turns of the run before may have been long, and its watchdog had gone.
        longTurns.withLock { $0 = [] }
        stalls.store(0, ordering: .relaxed)
        suppressed.store(0, ordering: .relaxed)
        runEnded.store(0, ordering: .relaxed)
        runBegan.store(now, ordering: .relaxed)
        began.store(now, ordering: .relaxed)
        thread.store(Thread.id, ordering: .releasing)
    }

    /// The rest of what its thread does is no turn any more.
    ///
    /// Loop thread only.
    func endRun(turnBegan: UInt64) {
        let now = MonotonicClock.now
        endTurn(began: turnBegan, ended: now)
        runEnded.store(now, ordering: .relaxed)
    }

    /// Loop thread only.
    @inline(__always)
    func beginTurn(_ now: UInt64) { began.store(now, ordering: .relaxed) }

    /// Loop thread only.
    @inline(__always)
    func endTurn(began: UInt64, ended: UInt64) {
        let length = ended &- began
        turnLength.record(length)
        if length >= limit.load(ordering: .relaxed) { note(began, ended) }
        self.began.store(0, ordering: .relaxed)
    }

    /// The share of the run in which the loop did not wait.
    ///
    /// Any thread.
    var utilization: Double {
        let (all, active) = times
        return all == 0 ? 0 : min(1, Double(active) / Double(all))
    }

    /// Nanoseconds since the run began, and those of them in which the loop did not wait.
    ///
    /// Any thread.
    var times: (all: UInt64, active: UInt64) {
        let ended = runEnded.load(ordering: .relaxed)
        let began = runBegan.load(ordering: .relaxed)
        let now = ended == 0 ? MonotonicClock.now : ended
        return began == 0 ? (0, 0) : (now &- min(now, began), turnLength.total)
    }

    @inline(never)
    private func note(_ began: UInt64, _ ended: UInt64) {
        let turn = StallJudge.LongTurn(
            began: began,
            ended: ended,
            runQueueDelay: RunQueueDelay.ofThisThread
        )
        longTurns.withLock { if $0.count < Self.longTurnLimit { $0.append(turn) } }
    }

    /// Those since the last call.
    ///
    /// Any thread.
    func takeLongTurns() -> [StallJudge.LongTurn] {
        longTurns.withLock { turns in
            defer { turns = [] }
            return turns
        }
    }

    /// What the watchdog has counted in this run.
    ///
    /// Any thread.
    var stallCounts: (stalls: UInt64, suppressed: UInt64) {
        (stalls.load(ordering: .relaxed), suppressed.load(ordering: .relaxed))
    }

    /// The watchdog alone.
    func publish(_ judge: StallJudge) {
        stalls.store(judge.stallCount, ordering: .relaxed)
        suppressed.store(judge.suppressedCount, ordering: .relaxed)
    }
}
