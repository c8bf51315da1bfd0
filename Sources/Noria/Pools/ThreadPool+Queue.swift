// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaSystem
internal import Synchronization

// The way of a job, and who may change it, all under the pool's lock:
//
//   outside ──enqueue──▶ queued ──take──▶ running
//      │                   │
//   cancel: flag only    cancel, close: out of the queue
//      └──enqueue──▶ cancelled or closed, and the task goes on at a loop, where it throws.
//
// A cancel that comes before the enqueue leaves its flag, and the enqueue finds it; one that comes
// after finds the job in the queue, or running, where it changes nothing. So a job is run once, on
// a thread of the pool or on the loop. The same holds for the close, whose flag is the pool's.

extension ThreadPool {
    /// What belongs to the lock.
    struct State {
        var queue = PoolQueue()
        var threads: [PoolThread] = []
        /// Those that have left and are to be joined.
        var departed: [Thread.Joinable] = []
        /// Those that sleep, the last one to come on top: it is the warmest.
        var idle: [PoolThread] = []
        /// Roused, and not at the queue yet.
        var wakingCount = 0
        var activeCount = 0
        var limit: ThreadLimit
        /// Callers for whom there is no place, in their order.
        var waiting: [(id: UInt64, continuation: UnsafeContinuation<Verdict, Never>)] = []
        var lastWaiter: UInt64 = 0
        /// The last change of the limit, and why.
        var lastDecision: String?
        /// When a job was last begun or ended.
        var lastProgress: UInt64 = 0
        var overloadReport = ReportLimit(nanoseconds: 60_000_000_000)
        var standstillReport = ReportLimit(nanoseconds: 60_000_000_000)
        var isClosed = false
        var onEmpty: UnsafeContinuation<Void, Never>?
        var counts = PoolCounts()
        var samples = WaitSamples()
        var window = PoolWindow()

        init(limit: ThreadLimit) { self.limit = limit }
    }

    /// What becomes of a caller who wants a place in the queue.
    enum Verdict { case admitted, full, closed, cancelled }

    // MARK: Coming

    /// Takes a place in the queue, and waits for it if that is how the pool is set up.
    func admit(_ job: PoolJob) async throws {
        switch await place(for: job) {
        case .admitted: return
        case .cancelled: throw CancellationError()
        case .closed: throw ThreadPoolError(.closed, job.name, self, "the runtime has ended")
        case .full:
            throw ThreadPoolError(
                .full,
                job.name,
                self,
                "\(configuration.queueLimit) calls wait already: offer less, raise 'queueLimit', or"
                    + " let callers wait with 'whenFull = .suspend'"
            )
        }
    }

    private func place(for job: PoolJob) async -> Verdict {
        if Task.isCancelled { return .cancelled }
        if takeQueuePlace() { return .admitted }
        let (verdict, id) = state.withLock { state -> (Verdict?, UInt64) in
            state.counts.load.arrived(job.arrival)
            job.isCounted = true
            if state.isClosed { return (.closed, 0) }
            if takePlace(state) { return (.admitted, 0) }
            guard configuration.whenFull == .suspend else {
                state.counts.refused += 1
                return (.full, 0)
            }
            state.lastWaiter += 1
            return (nil, state.lastWaiter)
        }
        if let verdict { return verdict }
        return await withTaskCancellationHandler {
            await withUnsafeContinuation { waitForPlace(id, $0) }
        } onCancel: {
            let waiter = state.withLock { state in
                state.waiting.firstIndex { $0.id == id }.map { state.waiting.remove(at: $0) }
            }
            waiter?.continuation.resume(returning: .cancelled)
        }
    }

    /// Looks once more: since the first look a place may have come free, or the task been cancelled.
    private func waitForPlace(_ id: UInt64, _ continuation: UnsafeContinuation<Verdict, Never>) {
        let verdict = state.withLock { state -> Verdict? in
            if state.isClosed { return .closed }
            if Task.isCancelled { return .cancelled }
            if takePlace(state) { return .admitted }
            state.waiting.append((id, continuation))
            return nil
        }
        if let verdict { continuation.resume(returning: verdict) }
    }

    /// Takes a place in the queue, if there is one, without the lock.
    private func takeQueuePlace(besides free: Int = 0) -> Bool {
        var count = placeCount.load(ordering: .relaxed)
        while count < configuration.queueLimit + free {
            let (done, seen) = placeCount.weakCompareExchange(
                expected: count,
                desired: count + 1,
                ordering: .relaxed
            )
            if done { return true }
            count = seen
        }
        return false
    }

    /// The same, under the lock: those whom a free thread awaits do not count as waiting.
    private func takePlace(_ state: borrowing State) -> Bool {
        takeQueuePlace(besides: max(0, state.limit.limit - state.activeCount))
    }

    /// A job has left the queue: the first who wait may come.
    func freePlace(of job: PoolJob, _ state: inout State) -> Call {
        if job.isBounded { placeCount.wrappingSubtract(1, ordering: .relaxed) }
        return admitWaiting(&state)
    }

    /// Under the lock, after a place or a thread has become free.
    func admitWaiting(_ state: inout State) -> Call {
        var call = Call()
        guard !state.waiting.isEmpty else { return call }
        var count = 0
        while count < state.waiting.count, takePlace(state) {
            call.admits.append(state.waiting[count].continuation)
            count += 1
        }
        state.waiting.removeFirst(count)
        return call
    }

    /// The task of a job has come.
    ///
    /// Any thread.
    func enqueue(_ job: PoolJob, _ work: PoolJob.Work, _ priority: JobPriority) {
        let now = MonotonicClock.now
        let (isIn, call) = state.withLock { state -> (Bool, Call) in
            if !job.isCounted { state.counts.load.arrived(now) }
            job.work = work
            guard !job.isCancelled, !state.isClosed else {
                job.place = job.isCancelled ? .cancelled : .closed
                return (false, freePlace(of: job, &state))
            }
            job.place = .queued
            state.queue.append(job, level: PoolQueue.level(of: priority))
            return (true, state.callThread(now))
        }
        perform(call)
        if !isIn { bringHome(job) }
    }

    /// Takes a job out of the queue, if it is there, or keeps it from coming.
    ///
    /// Any thread.
    func cancel(_ job: PoolJob) {
        let call = state.withLock { state -> Call? in
            switch job.place {
            case .outside:
                job.isCancelled = true
                return nil
            case .queued:
                state.queue.remove(job)
                job.place = .cancelled
                state.counts.cancelled += 1
                state.tellWhenEmpty()
                return freePlace(of: job, &state)
            case .running, .cancelled, .closed, .deadlocked: return nil
            }
        }
        guard let call else { return }
        perform(call)
        bringHome(job)
    }

    /// Nobody waits for the job any more.
    func abandon(_ job: PoolJob) {
        state.withLock { state in
            guard job.place == .running, !job.isAbandoned else { return }
            job.isAbandoned = true
            state.counts.abandoned += 1
        }
    }

    /// What was not run here goes on at a loop, and finds out why.
    func bringHome(_ job: PoolJob) {
        switch job.work.take() {
        case .task(let task, _): loop.enqueue(task, as: .pinned)
        case .lane(let lane): loop.post { lane.run() }
        case nil: break
        }
    }

    // MARK: Calling threads

    /// What is to be done outside of the lock.
    struct Call {
        var rouses: PoolThread?
        var starts = false
        var wantsWatch = false
        var admits: [UnsafeContinuation<Verdict, Never>] = []
    }

    func perform(_ call: Call) {
        for caller in call.admits { caller.resume(returning: .admitted) }
        call.rouses?.parker.rouse()
        if call.starts { startThread() }
        if call.wantsWatch { watch.rouse() }
    }
}

extension ThreadPool.State {
    /// Has an idle thread, or a new one, look at the queue; the watch sees to the rest.
    mutating func callThread(_ now: UInt64) -> ThreadPool.Call {
        var call = ThreadPool.Call()
        // One at a time: who comes takes a job, and rouses the next if there is still one.
        guard queue.count > 0, wakingCount == 0 else { return call }
        if let thread = idle.popLast() {
            wakingCount += 1
            thread.isIdle = false
            thread.isWaking = true
            call.rouses = thread
        } else if limit.wantsThread(threadCount: threads.count, headAge: headAge(now) ?? 0) {
            call.starts = true
        } else {
            call.wantsWatch = window.open()
        }
        return call
    }

    /// How long the oldest in the queue has been there.
    func headAge(_ now: UInt64) -> UInt64? {
        queue.oldestArrival.map { now > $0 ? now - $0 : 0 }
    }
}
