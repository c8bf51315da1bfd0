// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem

/// What only the loop's own thread touches.
///
/// SAFETY (`@unchecked Sendable`): every member belongs to the thread that turns the loop, which
/// `EventLoop` asks before each access. SAFETY (`@exclusivity(unchecked)`): no access spans a
/// call that could reach the same member again; it saves 10 ns each.
final class LoopState: @unchecked Sendable {
    @exclusivity(unchecked) var queue = JobQueue()
    @exclusivity(unchecked) var role = JobRole.generic
    @exclusivity(unchecked) var roleHint: JobRole?
    @exclusivity(unchecked) var now = MonotonicClock.now
    /// When the present turn began: the end of the last look at the kernel.
    @exclusivity(unchecked) var lookedAt = MonotonicClock.now
    /// The jobs of the last turn, and where this one takes its sample among them.
    @exclusivity(unchecked) var lastTurnJobCount = 0
    @exclusivity(unchecked) private var random: UInt32 = 0x2545_f491
    /// The run is to end with the present turn, which must not sleep.
    @exclusivity(unchecked) var isEnding = false
    @exclusivity(unchecked) var turnCount: UInt64 = 0
    @exclusivity(unchecked) var jobCount: UInt64 = 0
    @exclusivity(unchecked) var remoteJobCount: UInt64 = 0
    /// The streams that are open.
    @exclusivity(unchecked) var connectionCount = 0
    @exclusivity(unchecked) var streams = StreamCounts()
    /// The operations that the present job has done without a wait: see `countOperation`.
    @exclusivity(unchecked) var operationCount = 0
    /// Streams whose writes of this turn go out together at its end.
    @exclusivity(unchecked) private var unflushed: [StreamChannel] = []
    /// The thread had the watchdog's signal blocked before this run.
    var hadStacksBlocked = false
    /// Of a run in debug mode.
    var debugWatch: DebugWatch?
    let timers = LoopTimers()
    var onRouse: (() -> Void)?

    @exclusivity(unchecked) private var present: Engine?

    /// The engine of the present run; there is one whenever code runs on the loop.
    var engine: Engine {
        get {
            guard let present else { preconditionFailure("the loop does not turn") }
            return present
        }
        set { present = newValue }
    }

    /// Reads the clock: the loop has looked at the kernel, or begins its run.
    @inline(__always)
    func beginTurn() {
        now = MonotonicClock.now
        lookedAt = now
    }

    func resetCounts() {
        (turnCount, jobCount, remoteJobCount) = (0, 0, 0)
        streams = StreamCounts()
    }

    /// Whether other loops may take what belongs to none: see `SharedJobs`.
    @exclusivity(unchecked) var isSharing = false
    @exclusivity(unchecked) var monitor: LoopMonitor?
    /// The present job is in an operation of ours: see `EventLoop.isHome`.
    @exclusivity(unchecked) var keepsJobs = false
    @exclusivity(unchecked) private var sequence: UInt = 0

    func append(_ job: QueuedJob, as role: JobRole) {
        job.role = roleHint ?? role
        if isSharing { job.sequence = nextSequence() }
        queue.append(job)
    }

    /// A piece of work, which is nothing else whatever is resumed at the moment.
    func appendPosted(_ job: QueuedJob) {
        job.role = .posted
        if isSharing { job.sequence = nextSequence() }
        queue.append(job)
    }

    func nextSequence() -> UInt {
        sequence &+= 1
        return sequence
    }

    func flushAtTurnEnd(_ channel: StreamChannel) { unflushed.append(channel) }

    func flush() {
        guard !unflushed.isEmpty else { return }
        let channels = unflushed
        unflushed.removeAll(keepingCapacity: true)
        for channel in channels { channel.flushNow() }
    }

    func wasRoused() { onRouse?() }

    /// Which job of this turn is looked at, counted from 0: any that the last one had is as likely.
    func sampledJob() -> Int {
        random ^= random &<< 13
        random ^= random &>> 17
        random ^= random &<< 5
        return Int(random) % max(1, lastTurnJobCount)
    }
}

/// The loop's timers, as an object so that `EventLoop` can lend them.
///
/// Loop thread only.
final class LoopTimers {
    @exclusivity(unchecked) private var queue = TimerQueue(now: MonotonicClock.now)

    var count: Int { queue.count }
    var owners: [any TimerOwner] { queue.owners }

    func add(deadline: UInt64, owner: any TimerOwner, context: UInt = 0) -> TimerID {
        queue.add(deadline: deadline, owner: owner, context: context)
    }

    @discardableResult
    func cancel(_ id: TimerID) -> Bool { queue.cancel(id) }
    func nextDeadline() -> UInt64? { queue.nextDeadline() }
    func popDue(now: UInt64) -> (owner: any TimerOwner, context: UInt)? { queue.popDue(now: now) }
}

extension JobQueue {
    mutating func drain(_ body: (QueuedJob) -> Void) {
        while let job = popFirst() { body(job) }
    }
}

/// How much one turn may do.
///
/// DESIGN §3.
struct TurnBudget: Sendable {
    var jobsPerTurn = 61
    var nanosecondsPerTurn: UInt64 = 1_000_000
    var completionsPerTurn = 256
}
