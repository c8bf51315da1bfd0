// SPDX-License-Identifier: Apache-2.0

/// Tells the stalls of one loop from turns that only look long, of what is seen now and then.
///
/// A *stall* is a turn's length, less the time in it in which the thread waited for a processor, and
/// less that in which the whole process stood still (SIGSTOP, a suspended machine). Both are known
/// for the times between two looks, not for the turn alone: what lies before the turn in the interval
/// in which it began is taken off, too. So a stall may be judged shorter than it was, never longer.
///
/// It knows no clock and no kernel, so that its rules are tested as they stand.
struct StallJudge {
    /// What one look at a loop has seen; times are in nanoseconds.
    struct Look {
        let now: UInt64
        /// When the present turn began; 0 when the loop waits in the kernel.
        let turnBegan: UInt64
        /// The thread's wait for a processor since it began; nil when that can't be read.
        let runQueueDelay: UInt64?
        /// How long the process stood still since the last look.
        let pause: UInt64
    }

    /// A turn that was over the threshold, told by the loop when it was over.
    struct LongTurn {
        let began: UInt64
        let ended: UInt64
        /// As in `Look`, at the turn's end.
        let runQueueDelay: UInt64?
    }

    let threshold: UInt64
    let reportThreshold: UInt64

    private(set) var stallCount: UInt64 = 0
    /// Stalls over the second threshold that were not reported.
    private(set) var suppressedCount: UInt64 = 0

    /// The delay that the last look saw; a thread begins with none.
    private var delaySeen: UInt64? = 0
    private var turn: Turn?
    private var reportLimit: ReportLimit

    /// The turn that the last look saw.
    private struct Turn {
        let began: UInt64
        let delayBefore: UInt64?
        var paused: UInt64
        /// It has been over the second threshold.
        var isJudged = false
        var isReported = false
    }

    init(threshold: UInt64, reportThreshold: UInt64, reportsPerMinute: Int) {
        self.threshold = threshold
        self.reportThreshold = reportThreshold
        reportLimit = ReportLimit(count: reportsPerMinute, nanoseconds: 60_000_000_000)
    }

    /// How long a turn that has ended was a stall, and whether it had been reported; nil when it was
    /// none.
    ///
    /// Before the look of the same moment.
    mutating func judge(
        _ ended: LongTurn,
        pause: UInt64
    ) -> (length: UInt64, wasReported: Bool)? {
        let known = turn.flatMap { $0.began == ended.began ? $0 : nil }
        let length = stall(
            from: ended.began,
            to: ended.ended,
            delay: Self.delay(from: known.map(\.delayBefore) ?? delaySeen, to: ended.runQueueDelay),
            paused: (known?.paused ?? 0) + pause
        )
        guard length >= threshold else { return nil }
        stallCount += 1
        return (length, known?.isReported ?? false)
    }

    /// A stall that lasts and has not been looked at as such; how many went unreported before it.
    ///
    /// Once for each turn.
    mutating func look(_ look: Look) -> (length: UInt64, unreported: Int)? {
        defer { delaySeen = look.runQueueDelay }
        guard look.turnBegan != 0 else {
            turn = nil
            return nil
        }
        if turn?.began == look.turnBegan {
            turn?.paused += look.pause
        } else {
            turn = Turn(began: look.turnBegan, delayBefore: delaySeen, paused: look.pause)
        }
        guard let turn, !turn.isJudged else { return nil }
        let length = stall(
            from: turn.began,
            to: look.now,
            delay: Self.delay(from: turn.delayBefore, to: look.runQueueDelay),
            paused: turn.paused
        )
        guard length >= reportThreshold else { return nil }
        self.turn?.isJudged = true
        guard let unreported = reportLimit.admit(look.now) else {
            suppressedCount += 1
            return nil
        }
        self.turn?.isReported = true
        return (length, unreported)
    }

    /// The wait between two readings; 0 where the kernel counts none, and all there is when only one
    /// of the two could be had (no descriptor was left): then nothing is taken for a stall.
    private static func delay(from before: UInt64?, to after: UInt64?) -> UInt64 {
        switch (before, after) {
        case (nil, nil): 0
        case (let before?, let after?): after > before ? after - before : 0
        case (nil, _?), (_?, nil): .max
        }
    }

    private func stall(
        from began: UInt64,
        to ended: UInt64,
        delay: UInt64,
        paused: UInt64
    ) -> UInt64 {
        let length = ended > began ? ended - began : 0
        let (off, isAll) = delay.addingReportingOverflow(paused)
        return length > off && !isAll ? length - off : 0
    }
}
