// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaSystem
internal import SystemPackage

/// One thread of a pool.
///
/// SAFETY (`@unchecked Sendable`): what can change belongs to the pool's lock, or to the thread.
final class PoolThread: @unchecked Sendable {
    let parker = Parker()
    /// Set before the thread takes its first job.
    var joinable: Thread.Joinable?
    /// On the stack of those that sleep.
    var isIdle = false
    /// Roused by who brought a job, and not at the queue yet.
    var isWaking = false
    var hasLeft = false
    /// The kernel's number, set before it takes its first job.
    var id: Int32 = 0
    /// What it runs.
    var job: PoolJob?
    /// What the watch saw it had computed.
    var seenProcessorNanoseconds: UInt64 = 0

    // The thread's own.
    /// As of its last look at what it had used.
    var usage = ThreadUsage()
    /// How long it has run jobs since then.
    var runSinceLook: UInt64 = 0
}

extension ThreadPool {
    /// Starts a thread; when the system refuses, the limit stays at those that there are.
    func startThread() {
        let thread = PoolThread()
        let isWanted = state.withLock { state in
            let headAge = state.headAge(MonotonicClock.now) ?? 0
            guard state.queue.count > 0,
                state.limit.wantsThread(threadCount: state.threads.count, headAge: headAge)
            else { return false }
            state.threads.append(thread)
            return true
        }
        guard isWanted else { return }
        do throws(Errno) {
            let joinable = try Thread.startJoinable { [self] in work(thread) }
            let departed = state.withLock { state in
                if thread.hasLeft { state.departed.append(joinable) }
                thread.joinable = joinable
                return state.takeDeparted()
            }
            for thread in departed { thread.join() }
        } catch {
            refused(thread, error)
        }
    }

    private func refused(_ thread: PoolThread, _ error: Errno) {
        let (step, count) = state.withLock { state in
            state.remove(thread)
            state.counts.refusedThreads += 1
            let count = state.threads.count
            return (state.limit.threadRefused(count, "\(error)"), count)
        }
        logger.error(
            "pool \(name): no thread beside its \(count): \(error); allowed are \(MachineCheck.threads(Machine()).finding)"
        )
        log(step)
        // Without a thread nobody would look again.
        if count == 0 { _ = PoolTimer(.milliseconds(100), on: loop) { self.startThread() } }
    }

    /// A thread's life.
    private func work(_ thread: PoolThread) {
        Thread.name("noria \(name)")
        thread.id = Thread.id
        if configuration.niceness > 0 { Thread.lowerPriority(by: configuration.niceness) }
        let idleNanoseconds = configuration.idleTimeout.nanoseconds
        var finished: Finished?
        while true {
            switch next(thread, after: finished.take()) {
            case .run(let job):
                let begin = MonotonicClock.now
                job.run()
                finished = Finished(job, from: begin, on: thread)
            case .sleep:
                let wasRoused = thread.parker.park(nanoseconds: idleNanoseconds)
                guard wasRoused || !leaveIdle(thread) else { return }
            case .leave: return
            }
        }
    }

    private enum Next {
        case run(PoolJob)
        case sleep, leave
    }

    /// Notes what was done, and says what is to be done next.
    private func next(_ thread: PoolThread, after finished: Finished?) -> Next {
        let now = MonotonicClock.now
        let (next, call, advice) = state.withLock { state -> (Next, Call, String?) in
            let advice = finished.flatMap { note($0, thread, &state) }
            if thread.isWaking {
                thread.isWaking = false
                state.wakingCount -= 1
            }
            if state.threads.count > state.limit.limit, !state.isClosed {
                state.remove(thread)
                // It may have been the one that was roused for a job.
                return (.leave, state.callThread(now), advice)
            }
            guard let job = state.queue.popFirst() else {
                if state.isClosed {
                    state.remove(thread)
                    return (.leave, Call(), advice)
                }
                thread.isIdle = true
                state.idle.append(thread)
                return (.sleep, admitWaiting(&state), advice)
            }
            job.place = .running
            thread.job = job
            state.lastProgress = now
            state.activeCount += 1
            let wait = now > job.arrival ? now - job.arrival : 0
            waits.record(wait)
            state.samples.add(wait)
            var call = state.callThread(now)
            call.admits = freePlace(of: job, &state).admits
            return (.run(job), call, advice)
        }
        perform(call)
        if let advice { logger.warning("\(advice)") }
        return next
    }

    /// False when it was roused at the last moment.
    private func leaveIdle(_ thread: PoolThread) -> Bool {
        let (step, hasLeft) = state.withLock { state -> (ThreadLimit.Step?, Bool) in
            guard thread.isIdle else { return (nil, false) }
            state.idle.removeAll { $0 === thread }
            state.remove(thread)
            return (state.limit.threadLeft(state.threads.count), true)
        }
        log(step)
        return hasLeft
    }

    func log(_ step: ThreadLimit.Step?) {
        guard let step else { return }
        let text = "\(step.from) → \(step.to) threads: \(step.reason)"
        state.withLock { $0.lastDecision = text }
        logger.info("pool \(name): \(text)")
    }

    // MARK: The end

    /// Lets nothing in any more, and waits until all that was let in is done and every thread has
    /// gone.
    func close() async {
        await withUnsafeContinuation { continuation in
            let (threads, waiting, isEmpty) = state.withLock { state in
                state.isClosed = true
                let idle = state.idle
                state.idle = []
                for thread in idle { thread.isIdle = false }
                let waiting = state.waiting
                state.waiting = []
                let isEmpty = state.threads.isEmpty && state.queue.count == 0
                if !isEmpty { state.onEmpty = continuation }
                return (idle, waiting, isEmpty)
            }
            for waiter in waiting { waiter.continuation.resume(returning: .closed) }
            for thread in threads { thread.parker.rouse() }
            if isEmpty { continuation.resume() }
        }
        for thread in state.withLock({ $0.takeDeparted() }) { thread.join() }
    }

    /// The names of what runs and waits.
    var unfinished: [String] {
        state.withLock { state in
            let running = state.threads.compactMap(\.job?.name).map { "\($0) (pool \(name))" }
            let count = state.queue.count
            return count == 0 ? running : running + ["\(count) jobs queued (pool \(name))"]
        }
    }
}

extension ThreadPool.State {
    /// The thread goes, with these as its last steps under the lock.
    mutating func remove(_ thread: PoolThread) {
        threads.removeAll { $0 === thread }
        thread.hasLeft = true
        if let joinable = thread.joinable { departed.append(joinable) }
        tellWhenEmpty()
    }

    /// After a thread or a job has gone: the close may be waiting for the last of them.
    mutating func tellWhenEmpty() {
        guard threads.isEmpty, queue.count == 0 else { return }
        onEmpty.take()?.resume()
    }

    mutating func takeDeparted() -> [Thread.Joinable] {
        defer { departed = [] }
        return departed
    }
}
