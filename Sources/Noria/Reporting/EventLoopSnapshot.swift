// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import Synchronization

/// What a loop has done since its run began, as of its last look at the kernel.
public struct EventLoopSnapshot: Codable, Sendable, Hashable {
    /// The loop's place in its group.
    public let index: Int
    /// Turns done.
    public let turns: UInt64
    /// Jobs that code on the loop itself has queued.
    public let jobsLocal: UInt64
    /// Jobs and pieces of work that came from other threads, or were left from the run before.
    public let jobsRemote: UInt64
    /// Completions delivered.
    public let completions: UInt64
    /// Writes to the loop's eventfd that ended a sleep: at most one a sleep.
    public let wakeups: UInt64
    /// Jobs that the last turn had no budget for.
    public let queueDepth: Int
    /// Timers that are neither due nor cancelled.
    public let timersPending: Int
    /// Streams that are open.
    public let connectionsOpen: Int
    /// How long jobs wait for those before them: from the end of the loop's look at the kernel to
    /// the begin of a job, of one job a turn, each as likely as another.
    public let runDelay: HistogramSnapshot
    /// How long the loop took from one look at the kernel to the next: its jobs, timers and
    /// deliveries, of every turn.
    public let turnLength: HistogramSnapshot
    /// The share of the time since the run began that the loop did not wait in the kernel: 0 to 1.
    public let utilization: Double
    /// Turns over `Diagnostics.stallThreshold`, less what the thread waited for a processor.
    public let stalls: UInt64
    /// Stalls over `Diagnostics.stallReportThreshold` that were counted and not reported.
    public let stallReportsSuppressed: UInt64
    /// The queue between the kernel and the streams.
    public let completionQueue: CompletionQueue
    /// What has become of the streams.
    public let streams: StreamCounts

    /// How full the queue of completions has been.
    public struct CompletionQueue: Codable, Sendable, Hashable {
        /// Completions that the kernel keeps for the loop in the ring; 0 where it keeps none.
        public let capacity: Int
        /// Times that the ring was full and the kernel kept completions elsewhere.
        public let overflows: UInt64
        /// Turns that delivered `Loops.completionsPerTurn` and left the rest for the next.
        public let limitedTurns: UInt64
        /// The most completions that one look found or left there.
        public let highWater: Int
        /// How often a receive found no buffer and had to wait for one.
        public let starvedReceives: UInt64
    }
}

/// What has become of a loop's streams since its run began, the open ones aside.
public struct StreamCounts: Codable, Sendable, Hashable {
    /// Connections that a listener has taken from its queue.
    public internal(set) var accepted: UInt64 = 0
    /// Streams that their peers, or the network, have reset.
    public internal(set) var reset: UInt64 = 0
    /// Streams that an idle, read or write time-out has ended.
    public internal(set) var timedOut: UInt64 = 0
    /// Connections that ended before their handler began: the peer was gone, or sent no PROXY header.
    public internal(set) var refused: UInt64 = 0
    /// Errors of SwiftNIO's channels that no handler has taken.
    public internal(set) var unhandledErrors: UInt64 = 0
    /// Bytes that came.
    public internal(set) var receivedByteCount: UInt64 = 0
    /// Bytes that the kernel has taken.
    public internal(set) var sentByteCount: UInt64 = 0
}

extension EventLoop {
    /// What the loop has done in its present run, or in its last when it does not turn.
    ///
    /// It costs the loop nothing: the numbers were written down by its last turn, each for itself,
    /// so a turn that is just being written down may show in some of them and not in others.
    ///
    /// Any thread.
    public func snapshot() -> EventLoopSnapshot {
        let jobsRemote = counts.jobsRemote.load(ordering: .relaxed)
        let jobs = counts.jobs.load(ordering: .relaxed)
        let (stalls, suppressed) = turnLog.stallCounts
        return EventLoopSnapshot(
            index: index,
            turns: counts.turnCount,
            jobsLocal: jobs - min(jobs, jobsRemote),
            jobsRemote: jobsRemote,
            completions: counts.completions.load(ordering: .relaxed),
            wakeups: wakeup.writeCount,
            queueDepth: counts.queueDepth.load(ordering: .relaxed),
            timersPending: counts.timersPending.load(ordering: .relaxed),
            connectionsOpen: counts.connectionsOpen.load(ordering: .relaxed),
            runDelay: counts.runDelay.snapshot(),
            turnLength: turnLog.turnLength.snapshot(),
            utilization: turnLog.utilization,
            stalls: stalls,
            stallReportsSuppressed: suppressed,
            completionQueue: EventLoopSnapshot.CompletionQueue(
                capacity: counts.completionCapacity.load(ordering: .relaxed),
                overflows: counts.completionOverflows.load(ordering: .relaxed),
                limitedTurns: counts.limitedTurns.load(ordering: .relaxed),
                highWater: counts.completionHighWater.load(ordering: .relaxed),
                starvedReceives: counts.starvedReceives.load(ordering: .relaxed)
            ),
            streams: StreamCounts(
                accepted: counts.accepted.load(ordering: .relaxed),
                reset: counts.reset.load(ordering: .relaxed),
                timedOut: counts.timedOut.load(ordering: .relaxed),
                refused: counts.refused.load(ordering: .relaxed),
                unhandledErrors: counts.unhandledErrors.load(ordering: .relaxed),
                receivedByteCount: counts.receivedBytes.load(ordering: .relaxed),
                sentByteCount: counts.sentBytes.load(ordering: .relaxed)
            )
        )
    }
}

/// A loop's numbers as other threads see them: one writer, plain stores, once a turn.
struct LoopCounts: ~Copyable, Sendable {
    let runDelay = Histogram()
    fileprivate let turns = Atomic<UInt64>(0)
    /// Those that ran and those that wait.
    fileprivate let jobs = Atomic<UInt64>(0)
    fileprivate let jobsRemote = Atomic<UInt64>(0)
    fileprivate let completions = Atomic<UInt64>(0)
    fileprivate let queueDepth = Atomic<Int>(0)
    fileprivate let timersPending = Atomic<Int>(0)
    fileprivate let connectionsOpen = Atomic<Int>(0)
    fileprivate let completionHighWater = Atomic<Int>(0)
    fileprivate let starvedReceives = Atomic<UInt64>(0)
    fileprivate let completionCapacity = Atomic<Int>(0)
    fileprivate let completionOverflows = Atomic<UInt64>(0)
    fileprivate let limitedTurns = Atomic<UInt64>(0)
    fileprivate let accepted = Atomic<UInt64>(0)
    fileprivate let reset = Atomic<UInt64>(0)
    fileprivate let timedOut = Atomic<UInt64>(0)
    fileprivate let refused = Atomic<UInt64>(0)
    fileprivate let unhandledErrors = Atomic<UInt64>(0)
    fileprivate let receivedBytes = Atomic<UInt64>(0)
    fileprivate let sentBytes = Atomic<UInt64>(0)

    /// Any thread.
    var turnCount: UInt64 { turns.load(ordering: .relaxed) }
    /// Any thread.
    var saturation: Saturation.Counts {
        Saturation.Counts(
            turns: turnCount,
            limitedTurns: limitedTurns.load(ordering: .relaxed),
            overflows: completionOverflows.load(ordering: .relaxed),
            starvedReceives: starvedReceives.load(ordering: .relaxed),
            completions: completions.load(ordering: .relaxed)
        )
    }

    /// Loop thread only.
    func begin(_ engine: Engine) {
        runDelay.reset()
        completionCapacity.store(engine.backend.completionCapacity, ordering: .relaxed)
    }

    /// Loop thread only.
    @inline(__always)
    func publish(_ state: LoopState, _ shared: SharedJobs) {
        let depth = state.queue.count + shared.count
        let engine = state.engine.counts
        turns.store(state.turnCount, ordering: .relaxed)
        jobs.store(state.jobCount &+ UInt64(truncatingIfNeeded: depth), ordering: .relaxed)
        jobsRemote.store(state.remoteJobCount, ordering: .relaxed)
        completions.store(engine.completions, ordering: .relaxed)
        queueDepth.store(depth, ordering: .relaxed)
        timersPending.store(state.timers.count, ordering: .relaxed)
        connectionsOpen.store(state.connectionCount, ordering: .relaxed)
        completionHighWater.store(engine.completionHighWater, ordering: .relaxed)
        starvedReceives.store(engine.starvedReceives, ordering: .relaxed)
        limitedTurns.store(engine.limitedTurns, ordering: .relaxed)
        completionOverflows.store(engine.overflows, ordering: .relaxed)
        accepted.store(state.streams.accepted, ordering: .relaxed)
        reset.store(state.streams.reset, ordering: .relaxed)
        timedOut.store(state.streams.timedOut, ordering: .relaxed)
        refused.store(state.streams.refused, ordering: .relaxed)
        unhandledErrors.store(state.streams.unhandledErrors, ordering: .relaxed)
        receivedBytes.store(engine.receivedBytes, ordering: .relaxed)
        sentBytes.store(engine.sentBytes, ordering: .relaxed)
    }
}
