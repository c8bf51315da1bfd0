// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem
internal import Synchronization
internal import SystemPackage

/// One thread that turns: it runs jobs, fires timers and talks with the kernel.
///
/// Tasks, actors and `Task.sleep` run on it, with no thread in between. A loop is never freed:
/// an executor is referenced without being owned, so a task may name it at any time. Between two
/// runs its jobs wait in `inbox`, and the next run turns them first.
public final class EventLoop: Sendable, CustomStringConvertible {
    /// The loop's place in its group; 0 is the main thread's, unless the runtime is embedded.
    public let index: Int

    // Any thread.
    private let inbox = JobInbox()
    let wakeup: Wakeup
    let shared = SharedJobs()
    /// The jobs begun, as the monitor sees them; only counted while there are several loops.
    let publishedJobCount = Atomic<UInt64>(0)
    let overBudget = Atomic<Bool>(false)
    let counts = LoopCounts()
    let turnLog = TurnLog()
    let serial: LoopSerialExecutor
    let tasks: LoopTaskExecutor
    /// Who stands on this run.
    let adapter = Guarded<(any LoopAdapter)?>(nil)

    // Loop thread only.
    let state: LoopState

    init(index: Int) throws(Errno) {
        self.index = index
        wakeup = try Wakeup()
        state = LoopState()
        serial = LoopSerialExecutor()
        tasks = LoopTaskExecutor()
        serial.adopt(self)
        tasks.adopt(self)
        // Immortal: see above.
        _ = Unmanaged.passRetained(self)
    }

    /// The loop that runs this code, or nil on any other thread.
    ///
    /// Any thread.
    public static var current: EventLoop? {
        guard let pointer = CurrentLoop.pointer else { return nil }
        // SAFETY: only `run` sets it, to a loop, and loops are immortal.
        return Unmanaged<EventLoop>.fromOpaque(pointer).takeUnretainedValue()
    }

    /// Whether the calling thread is this loop's.
    ///
    /// Any thread.
    public var isCurrent: Bool { CurrentLoop.pointer == address }

    private var address: UnsafeMutableRawPointer { Unmanaged.passUnretained(self).toOpaque() }

    /// The loop's name in logs: `loop 0`.
    public var description: String { "loop \(index)" }

    // MARK: Jobs

    /// Takes a job.
    ///
    /// Any thread.
    func enqueue(_ job: UnownedJob, as role: JobRole) {
        let job = QueuedJob(job)
        if isCurrent {
            state.append(job, as: role)
        } else {
            job.role = role
            push(job)
        }
    }

    /// Gives a job to the loop that runs this code; false on any other thread.
    ///
    /// The loop is immortal, so no reference is counted: that were 68 of 276 instructions a job.
    static func enqueueOnCurrent(_ job: UnownedJob) -> Bool {
        guard let pointer = CurrentLoop.pointer else { return false }
        // SAFETY: as in `current`.
        Unmanaged<EventLoop>.fromOpaque(pointer)._withUnsafeGuaranteedRef {
            $0.enqueueHere(QueuedJob(job))
        }
        return true
    }

    /// Loop thread only.
    private func enqueueHere(_ job: QueuedJob) {
        // What an operation of ours resumes goes on here: it may have the engine's memory in hand.
        guard state.isSharing, !state.keepsJobs, state.roleHint == nil else {
            return state.append(job, as: .generic)
        }
        job.role = .generic
        job.sequence = state.nextSequence()
        shared.append(job)
    }

    /// Keeps what the present job enqueues from other loops: an operation has begun.
    ///
    /// Loop thread only.
    func keepJobs() { state.keepsJobs = true }

    /// Takes a job of a task that belongs to no loop.
    ///
    /// Other threads than the loops'.
    func enqueueFromOutside(_ job: UnownedJob) {
        guard ExecutorInstallation.hasSeveralLoops else { return enqueue(job, as: .generic) }
        let job = QueuedJob(job)
        job.role = .generic
        shared.inbox.push(job)
        if !wakeup.rouse() { forwardStrandedJobs() }
    }

    // MARK: Sharing

    /// The monitor of the present run, when there are several loops.
    ///
    /// Before the loops turn, and after.
    var monitor: LoopMonitor? {
        get { state.monitor }
        set {
            state.monitor = newValue
            state.isSharing = newValue != nil
        }
    }

    /// Gives the loop what looks at it in debug mode, on its thread or when it does not turn.
    func look(by watch: DebugWatch?) { state.debugWatch = watch }

    /// Takes half of what another loop keeps waiting.
    ///
    /// Loop thread only.
    func take(from other: EventLoop) {
        other.shared.takeHalf { job in
            job.sequence = state.nextSequence()
            shared.append(job)
        }
    }

    /// Has the loop run `body`, after what was queued before.
    ///
    /// Any thread.
    package func post(_ body: @escaping @Sendable () -> Void) { push(QueuedJob(posting: body)) }

    /// Runs `body` here and now on the loop's thread, else posts it.
    ///
    /// Any thread.
    func perform(_ body: @escaping @Sendable () -> Void) {
        if isCurrent { body() } else { post(body) }
    }

    /// The same of work that need not be safe to send, with no wakeup to think of.
    ///
    /// Loop thread only.
    package func postHere(_ body: @escaping () -> Void) {
        let state = checked()
        // What others sent before stands before it.
        if !inbox.isEmpty { takeInbox() }
        state.appendPosted(QueuedJob(posting: body))
    }

    private func push(_ job: QueuedJob) {
        inbox.push(job)
        // On the loop itself nothing needs rousing: the next turn takes the inbox.
        if !wakeup.rouse() { forwardStrandedJobs() }
    }

    /// Gives to the platform what nobody here will run any more; the rest waits for the next run.
    ///
    /// A producer that finds the latch at `stopped` does the same as the loop does at its end, so
    /// a job that was pushed while the loop ended is seen by one of the two.
    private func forwardStrandedJobs() {
        guard !isCurrent else { return }
        let forward = { (job: QueuedJob) in
            if job.role == .generic {
                ExecutorInstallation.forward(job.job)
            } else {
                self.inbox.push(job)
            }
        }
        _ = inbox.takeAll(forward)
        _ = shared.inbox.takeAll(forward)
    }

    /// What belongs to the loop's thread, for a member that others of ours may call wrongly.
    @inline(__always)
    private func checked(_ member: StaticString = #function) -> LoopState {
        checkThread(member)
        return state
    }

    // MARK: Turning

    /// The engine of the present run.
    ///
    /// Loop thread only.
    var engine: Engine { checked().engine }
    var timers: LoopTimers { checked().timers }
    /// The clock as it was last read: at the turn's look at the kernel, or since.
    var now: UInt64 { state.now }

    /// Has a stream's writes sent when this turn's jobs have run.
    ///
    /// Loop thread only.
    func flushAtTurnEnd(_ channel: StreamChannel) { checked().flushAtTurnEnd(channel) }

    /// Counts a stream that was opened (1) or closed (-1).
    ///
    /// Loop thread only.
    func countConnection(_ change: Int) { checked().connectionCount &+= change }
    /// The same of what becomes of them.
    func count(_ event: WritableKeyPath<StreamCounts, UInt64>) {
        checked().streams[keyPath: event] &+= 1
    }

    /// What the loop does when its eventfd was written: the signals' way in.
    ///
    /// Loop thread only.
    func onRouse(_ action: (() -> Void)?) { checked().onRouse = action }

    /// Turns on the calling thread, which is this loop's from `begin` to `end`, until `finish`.
    func run(_ budget: TurnBudget) {
        while !state.isEnding { turn(budget) }
        endAdapter(budget)
        // What a job of the last turn queued or posted is still run: an end never cuts a batch
        // short.
        takeInbox()
        runJobs(budget)
        turnLog.endRun(turnBegan: state.lookedAt)
    }

    /// Has an adapter end what it has here, and runs what it queues for that, all of it.
    private func endAdapter(_ budget: TurnBudget) {
        guard let adapter = adapter.withLock({ $0.take() }) else { return }
        adapter.loopEnds()
        takeInbox()
        var last = budget
        last.jobsPerTurn = max(budget.jobsPerTurn, state.queue.count)
        last.nanosecondsPerTurn = .max / 2
        runJobs(last)
    }

    /// Ends `run` with the present turn.
    ///
    /// Loop thread only.
    func finish() { checked().isEnding = true }

    /// Makes the calling thread this loop's; how many jobs were left from the run before.
    func begin(engine: Engine) throws(Errno) -> Int {
        try engine.backend.watchWakeup(wakeup.descriptor)
        adapter.withLock { $0 = nil }
        state.engine = engine
        state.isEnding = false
        state.resetCounts()
        counts.begin(engine)
        state.beginTurn()
        turnLog.beginRun(state.now)
        state.hadStacksBlocked = StackCapture.admit()
        counts.publish(state, shared)
        wakeup.resetWriteCount()
        CurrentLoop.pointer = address
        wakeup.didWake()
        return takeInbox()
    }

    /// Ends the run: what the kernel holds is taken back, what is queued stays for the next.
    func end() {
        engine.close()
        counts.publish(state, shared)
        state.queue.drain { inbox.push($0) }
        while let job = shared.popFirst(before: nil) { inbox.push(job) }
        CurrentLoop.pointer = nil
        if state.hadStacksBlocked { StackCapture.refuse() }
        wakeup.stop()
        forwardStrandedJobs()
    }

    /// The jobs run so far.
    ///
    /// Loop thread only.
    package var jobCount: UInt64 { checked().jobCount }

    /// One turn: due timers, jobs within the budget, one look at the kernel, its completions.
    func turn(_ budget: TurnBudget) {
        let state = state
        takeInbox()
        fireTimers(now: state.now)
        runJobs(budget)
        state.flush()
        lookAtHeldTasks()
        endTurn()
        let wait = willSleep()
        if engine.look(nanoseconds: wait, limit: budget.completionsPerTurn) { state.wasRoused() }
        wakeup.didWake()
        state.beginTurn()
        if Instrumentation.isOn { turnLog.beginTurn(state.now) }
        engine.deliver(limit: budget.completionsPerTurn)
        state.turnCount &+= 1
    }

    /// Writes down what the turn has done: see `snapshot` and `Watchdog`.
    @inline(__always)
    private func endTurn() {
        guard Instrumentation.isOn else { return }
        state.now = MonotonicClock.now
        turnLog.endTurn(began: state.lookedAt, ended: state.now)
        counts.publish(state, shared)
    }

    @discardableResult
    private func takeInbox() -> Int {
        var count = inbox.takeAll { state.append($0, as: $0.role) }
        if state.isSharing {
            count += shared.inbox.takeAll { job in
                job.sequence = state.nextSequence()
                shared.append(job)
            }
        }
        state.remoteJobCount &+= UInt64(count)
        return count
    }

    /// How long the kernel may keep us, in nanoseconds, having announced it: see `Wakeup`.
    private func willSleep() -> Int64 {
        guard state.queue.isEmpty, !state.isEnding else { return 0 }
        wakeup.willSleep()
        guard inbox.isEmpty else { return 0 }
        if state.isSharing {
            guard !shared.hasWork else { return 0 }
            state.monitor?.look()
        }
        guard let deadline = state.timers.nextDeadline() else { return -1 }
        if !Instrumentation.isOn { state.now = MonotonicClock.now }
        return deadline <= state.now ? 0 : Int64(clamping: deadline - state.now)
    }

    private func fireTimers(now: UInt64) {
        while let (owner, context) = state.timers.popDue(now: now) { owner.timerFired(context) }
    }

    /// Runs jobs, those queued meanwhile included, until none is left or the budget is spent.
    private func runJobs(_ budget: TurnBudget) {
        let state = state
        let end = state.now &+ budget.nanosecondsPerTurn
        var left = budget.jobsPerTurn
        let sampled = Instrumentation.isOn ? left &- state.sampledJob() : .min
        defer { state.lastTurnJobCount = budget.jobsPerTurn &- left }
        while let job = nextJob() {
            if left == sampled { counts.runDelay.record(MonotonicClock.now &- state.lookedAt) }
            if let watch = state.debugWatch { run(job, under: watch) } else { run(job) }
            left &-= 1
            guard left > 0 else { break }
            if left & 15 == 0 {
                state.now = MonotonicClock.now
                guard state.now < end else { break }
            }
        }
        guard state.isSharing else { return }
        overBudget.store(!state.queue.isEmpty || !shared.isEmpty, ordering: .relaxed)
    }

    /// The job that was queued first, in either queue.
    private func nextJob() -> QueuedJob? {
        guard state.isSharing else { return state.queue.popFirst() }
        let first = shared.isEmpty ? nil : shared.popFirst(before: state.queue.first?.sequence)
        let job = first ?? state.queue.popFirst()
        publishedJobCount.store(state.jobCount, ordering: .relaxed)
        // The one that is run now may take long.
        if !shared.isEmpty { state.monitor?.look() }
        return job
    }

    /// Loop thread only.
    func run(_ job: QueuedJob) {
        let role = job.role
        state.role = role
        state.jobCount &+= 1
        state.operationCount = 0
        state.keepsJobs = false
        switch role {
        case .serial: job.job.runSynchronously(on: serial.asUnownedSerialExecutor())
        case .generic, .pinned: job.job.runSynchronously(on: .generic)
        case .posted: job.runPosted()
        }
        state.role = .generic
    }
}
