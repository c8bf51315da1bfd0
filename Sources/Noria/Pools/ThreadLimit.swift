// SPDX-License-Identifier: Apache-2.0

/// How many threads a pool may have, moved by what was measured: the controller of DESIGN §7.
///
/// It knows no thread and no clock: it is told what each window of 100 ms has seen.
///
/// - A window's wait is the median of the waits that ended in it and of the present age of the
///   queue's head, since jobs that last longer than a window end no wait in it. Over 50 ms in two
///   windows one after the other the limit grows by a quarter, at least one.
/// - A queue that will be empty within a second as it shrinks now lets nothing grow: what stands in
///   it came before the last step.
/// - A step that did not help is taken back: no more jobs were done after it, while the pool filled
///   the processors or its threads were pushed off them twice as often as when there were few.
///   Under that sign the limit goes on down, to the number of processors, as long as no less is
///   done; and for a minute it does not grow.
struct ThreadLimit {
    /// What one window has seen.
    struct Window {
        var now: UInt64
        var length: UInt64
        /// In nanoseconds; 0 when nothing waited.
        var medianWait: UInt64
        /// Who waits at its end.
        var depth: Int
        var completions: Int
        /// Of all threads together.
        var processorNanoseconds: UInt64
        var involuntarySwitches: UInt64
        var threadCount: Int
    }

    /// A change, and why.
    struct Step: Equatable {
        let from: Int
        let to: Int
        let reason: String
    }

    /// What has come of a stretch of windows.
    private struct Tally {
        var windows = 0
        var length: UInt64 = 0
        var completions = 0
        var processorNanoseconds: UInt64 = 0
        var involuntarySwitches: UInt64 = 0

        mutating func add(_ window: Window) {
            windows += 1
            length += window.length
            completions += window.completions
            processorNanoseconds += window.processorNanoseconds
            involuntarySwitches += window.involuntarySwitches
        }

        var rate: Double { length == 0 ? 0 : Double(completions) * 1e9 / Double(length) }
        var switchesPerJob: Double {
            completions == 0 ? 0 : Double(involuntarySwitches) / Double(completions)
        }
        func use(of processors: Int) -> Double {
            length == 0 ? 0 : Double(processorNanoseconds) / Double(length) / Double(processors)
        }
    }

    let processors: Int
    let start: Int
    let maximum: Int
    private(set) var limit: Int
    /// Below the maximum after the system has refused a thread.
    private(set) var ceiling: Int

    private var slowWindows = 0
    /// Since the last step: how many waited first, and for how many windows that has been.
    private var queue: (depth: Int, windows: Int)?
    /// The last windows before a step.
    private var recent: [Window] = []
    /// Since the last step that is still to be judged.
    private var trial: (from: Int, rateBefore: Double, since: Tally)?
    /// While the limit goes down: what was done before the last step down.
    private var descent: (rateBefore: Double, since: Tally)?
    private var growsFrom: UInt64 = 0
    /// Per job, while no more threads ran than there are processors.
    private var quietSwitches: Double?

    static let windowNanoseconds: UInt64 = 100_000_000
    private static let waitLimit: UInt64 = 50_000_000
    /// Windows that a step is judged by: half a second.
    private static let trialWindows = 5
    private static let restNanoseconds: UInt64 = 60_000_000_000
    /// The share of the processors from which on they count as full.
    private static let fullUse = 0.85
    /// What counts as more, or less, of a rate: two runs of the same differ by less.
    private static let notice = 0.05

    init(start: Int, maximum: Int, processors: Int) {
        self.processors = processors
        self.start = start
        self.maximum = max(start, maximum)
        limit = start
        ceiling = self.maximum
    }

    /// Whether the last step is still to be judged, and windows are wanted for that.
    var isJudging: Bool { trial != nil || descent != nil }

    /// Somebody waits again: what was before is of another time.
    mutating func beginWatching() { (slowWindows, queue, recent) = (0, nil, []) }

    private var isFixed: Bool { start == maximum }

    // MARK: Threads

    /// Whether a job that found no idle thread is worth one more.
    func wantsThread(threadCount: Int, headAge: UInt64) -> Bool {
        guard threadCount < limit else { return false }
        return threadCount < processors || headAge >= Self.patience
    }

    /// How old the queue's head must be for a thread above the number of processors.
    static let patience: UInt64 = 5_000_000

    /// The system has refused a thread: so many there are.
    mutating func threadRefused(_ threadCount: Int, _ why: String) -> Step? {
        ceiling = max(1, min(ceiling, threadCount))
        guard limit > ceiling else { return nil }
        return step(to: ceiling, "the system refused a thread: \(why)")
    }

    /// A thread has left after it had nothing to do for long.
    mutating func threadLeft(_ threadCount: Int) -> Step? {
        guard limit != min(start, ceiling), threadCount <= min(start, ceiling) else { return nil }
        (slowWindows, queue, recent, trial, descent) = (0, nil, [], nil, nil)
        return step(to: min(start, ceiling), "idle: back to the start")
    }

    // MARK: Windows

    mutating func close(_ window: Window) -> Step? {
        defer {
            queue = queue.map { ($0.depth, $0.windows + 1) } ?? (window.depth, 0)
            recent.append(window)
            if recent.count > Self.trialWindows { recent.removeFirst() }
        }
        guard !isFixed else { return nil }
        trial?.since.add(window)
        descent?.since.add(window)
        if window.threadCount <= processors, window.completions > 0 {
            var tally = Tally()
            tally.add(window)
            quietSwitches = min(quietSwitches ?? .infinity, tally.switchesPerJob)
        }
        let isSlow = window.medianWait > Self.waitLimit
        slowWindows = isSlow ? slowWindows + 1 : 0
        if let step = judgeTrial(window.now) ?? goDown() { return step }
        return grow(window)
    }

    private func isOverloaded(_ tally: Tally) -> Bool {
        if tally.use(of: processors) >= Self.fullUse { return true }
        guard let quietSwitches, tally.completions > 0 else { return false }
        return tally.switchesPerJob >= max(1, 2 * quietSwitches)
    }

    private mutating func judgeTrial(_ now: UInt64) -> Step? {
        guard let trial, trial.since.windows >= Self.trialWindows else { return nil }
        self.trial = nil
        let (before, after) = (trial.rateBefore, trial.since.rate)
        guard isOverloaded(trial.since), after <= before * (1 + Self.notice) else { return nil }
        growsFrom = now &+ Self.restNanoseconds
        descent = (after, Tally())
        return step(
            to: trial.from,
            "\(Self.text(before)) before, \(Self.text(after)) after: \(computes)"
        )
    }

    private mutating func goDown() -> Step? {
        guard let descent, descent.since.windows >= Self.trialWindows else { return nil }
        guard isOverloaded(descent.since), limit > processors else {
            self.descent = nil
            return nil
        }
        let rate = descent.since.rate
        guard rate >= descent.rateBefore * (1 - Self.notice) else {
            // The last step down cost something: up again, and that is it.
            self.descent = nil
            return step(
                to: min(ceiling, limit + max(1, limit / 3)),
                "\(Self.text(rate)) with fewer, \(Self.text(descent.rateBefore)) before"
            )
        }
        self.descent = (rate, Tally())
        return step(
            to: max(processors, limit - max(1, limit / 4)),
            "\(Self.text(rate)): \(computes)"
        )
    }

    /// Whether the queue, as it has shrunk since the last step, is empty within ten windows.
    private func isEmptySoon(_ depth: Int) -> Bool {
        guard let queue, queue.windows > 0, depth < queue.depth else { return false }
        return depth * queue.windows <= 10 * (queue.depth - depth)
    }

    private var computes: String {
        "the processors are full; what computes belongs into 'runtime.compute' or 'runtime.processes'"
    }

    private mutating func grow(_ window: Window) -> Step? {
        guard slowWindows >= 2, limit < ceiling, window.now >= growsFrom else { return nil }
        guard !isEmptySoon(window.depth) else { return nil }
        var last = Tally()
        for window in recent.suffix(Self.trialWindows - 1) + [window] { last.add(window) }
        // A step under judgement comes first when the processors may be the reason.
        if trial != nil, isOverloaded(last) { return nil }
        if trial == nil { trial = (limit, last.rate, Tally()) }
        let wait = window.medianWait / 1_000_000
        return step(
            to: min(ceiling, limit + max(1, limit / 4)),
            "median wait \(wait) ms > \(Self.waitLimit / 1_000_000) ms"
        )
    }

    private mutating func step(to target: Int, _ reason: String) -> Step? {
        guard target != limit else { return nil }
        defer {
            limit = target
            (slowWindows, queue) = (0, nil)
        }
        return Step(from: limit, to: target, reason: reason)
    }

    private static func text(_ rate: Double) -> String { "\(Int(rate.rounded())) jobs/s" }
}
