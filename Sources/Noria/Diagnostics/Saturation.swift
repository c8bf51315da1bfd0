// SPDX-License-Identifier: Apache-2.0

/// Tells when the way between the kernel and a loop's streams was too narrow for most of a while.
///
/// A single full look is no trouble: the rest comes with the next turn. So it looks at ten seconds
/// as a whole, and tells at most once in ten minutes.
struct Saturation {
    /// What a loop has counted since its run began.
    struct Counts {
        var turns: UInt64 = 0
        var limitedTurns: UInt64 = 0
        var overflows: UInt64 = 0
        var starvedReceives: UInt64 = 0
        var completions: UInt64 = 0
    }

    private var before = Counts()
    private var began: UInt64?
    private var limit = ReportLimit(nanoseconds: 600_000_000_000)

    static let interval: UInt64 = 10_000_000_000

    /// What to tell, with the knob that changes it; nil when there is nothing.
    mutating func look(_ counts: Counts, _ now: UInt64) -> String? {
        guard let began else {
            (self.began, before) = (now, counts)
            return nil
        }
        guard now &- began >= Self.interval else { return nil }
        defer { (self.began, before) = (now, counts) }
        guard let text = Self.text(from: before, to: counts), limit.admit(now) != nil else {
            return nil
        }
        return text
    }

    private static func text(from before: Counts, to counts: Counts) -> String? {
        let overflows = counts.overflows &- before.overflows
        let starved = counts.starvedReceives &- before.starvedReceives
        let limited = counts.limitedTurns &- before.limitedTurns
        var parts: [String] = []
        if overflows > 0 {
            parts.append("the ring of completions was full \(overflows) times")
        }
        if starved * 10 > counts.completions &- before.completions {
            parts.append("\(starved) receives had to wait for a buffer")
        }
        if limited * 2 > counts.turns &- before.turns {
            parts.append("\(limited) turns left completions for the next")
        }
        guard !parts.isEmpty else { return nil }
        return
            "in the last 10 s \(parts.joined(separator: ", ")): it has more ready at once than one"
            + " turn takes; add loops (NORIA_LOOPS), or raise NORIA_COMPLETIONS_PER_TURN"
    }
}
