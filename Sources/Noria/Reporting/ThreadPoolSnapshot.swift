// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem

/// What a pool is and has done since its runtime began.
public struct ThreadPoolSnapshot: Codable, Sendable, Hashable {
    /// The pool's name.
    public let name: String
    /// Threads that there are.
    public let threadCount: Int
    /// Those that run a job.
    public let activeCount: Int
    /// Threads that there may be now.
    public let threadLimit: Int
    /// What that may grow to.
    public let maximumThreadLimit: Int
    /// The last change of the limit and why: `8 → 10 threads: median wait 63 ms > 50 ms`.
    public let lastDecision: String?
    /// Jobs that wait for a thread.
    public let queueDepth: Int
    /// Calls that may wait.
    public let queueLimit: Int
    /// Callers that wait for a place in the queue.
    public let heldBackCount: Int
    /// The share of the allowed threads that run a job.
    public let saturation: Double
    /// How many threads the calls of the last 5 to 10 s would keep busy: arrivals a second times
    /// the mean time that one runs (Little's law).
    public let offeredLoad: Double
    /// `offeredLoad` rounded up, at least 1.
    public let recommendedThreadCount: Int
    /// From the call to the begin of its job.
    public let wait: HistogramSnapshot
    /// From the begin of a job to its end.
    public let run: HistogramSnapshot
    /// Jobs that were run.
    public let completed: UInt64
    /// Calls that found the queue full, and were refused.
    public let refused: UInt64
    /// Jobs that were cancelled while they waited.
    public let cancelled: UInt64
    /// Jobs whose time was over while they ran.
    public let abandoned: UInt64
    /// Jobs of more than 50 ms that computed for most of it.
    public let computing: UInt64
    /// How often a job was taken off a processor that it would have gone on using.
    public let involuntarySwitchesPerJob: Double
    /// How long the jobs waited for each second that they computed; 0 when that is not known.
    public let waitPerComputeTime: Double
}

extension ThreadPool {
    /// What the pool does now; nobody is stopped for longer than it takes to copy some numbers.
    ///
    /// Any thread.
    public func snapshot() -> ThreadPoolSnapshot {
        let now = MonotonicClock.now
        let (wait, run) = (waits.snapshot(), runs.snapshot())
        return state.withLock { state in
            let counts = state.counts
            let load = state.counts.load.threads(now)
            let jobs = Double(max(1, counts.lookedAtJobs))
            let computed = Double(counts.processorNanoseconds)
            let waited = max(0, Double(counts.lookedAtNanoseconds) - computed)
            return ThreadPoolSnapshot(
                name: name,
                threadCount: state.threads.count,
                activeCount: state.activeCount,
                threadLimit: state.limit.limit,
                maximumThreadLimit: state.limit.maximum,
                lastDecision: state.lastDecision,
                queueDepth: state.queue.count,
                queueLimit: configuration.queueLimit,
                heldBackCount: state.waiting.count,
                saturation: Double(state.activeCount) / Double(state.limit.limit),
                offeredLoad: load,
                recommendedThreadCount: max(1, Int(load.rounded(.up))),
                wait: wait,
                run: run,
                completed: counts.completions,
                refused: counts.refused,
                cancelled: counts.cancelled,
                abandoned: counts.abandoned,
                computing: counts.computing,
                involuntarySwitchesPerJob: Double(counts.involuntarySwitches) / jobs,
                waitPerComputeTime: computed > 0 ? waited / computed : 0
            )
        }
    }
}
