// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
internal import Synchronization

// A job is synchronous: it waits for another of its own pool only by a lock or a semaphore over a
// task, and for whom it waits nobody can see. What can be seen together leaves no other reading:
//
//   - every thread that there may be has been in one job for 10 s, and none has begun or ended;
//   - each of them sleeps in a futex without a time limit, so another thread must wake it;
//   - each of their jobs began a task that waits for a thread of this very pool.
//
// Then the call that came last is refused, which may let the others go on.

extension PoolJob {
    /// The job in whose body this code runs, or the task was begun that runs it.
    @TaskLocal static var current: PoolJob?

    /// The next one up that has not ended, so that no chain grows with what is over.
    static var presentAncestor: PoolJob? {
        var job = current
        while let ended = job, ended.hasEnded.load(ordering: .relaxed) { job = ended.ancestor }
        return job
    }
}

extension ThreadPool {
    /// Threads that hold the jobs of each other's tasks, as far as the pool can tell.
    struct Suspicion {
        let lastProgress: UInt64
        let threads: [Int32]
        /// The call that came last of those that wait for them.
        let victim: PoolJob
    }

    /// How long no job has begun or ended before one may be refused.
    static let standstillNanoseconds: UInt64 = 10_000_000_000

    /// Refuses one call, if none of those that wait could ever begin.
    ///
    /// The watch alone.
    func refuse(_ suspicion: Suspicion) {
        guard suspicion.threads.allSatisfy({ KernelWait.isForAnotherThread($0) }) else { return }
        let victim = suspicion.victim
        let call = state.withLock { state -> Call? in
            guard state.lastProgress == suspicion.lastProgress, victim.place == .queued else {
                return nil
            }
            state.queue.remove(victim)
            victim.place = .deadlocked
            state.counts.refused += 1
            // What it sets free has as long again.
            state.lastProgress = MonotonicClock.now
            return freePlace(of: victim, &state)
        }
        guard let call else { return }
        perform(call)
        bringHome(victim)
    }
}

extension ThreadPool.State {
    /// Whether nothing has happened for so long, while somebody waits, that something is wrong.
    func standsStill(_ now: UInt64) -> Bool {
        queue.count > 0 && activeCount >= limit.ceiling && now > lastProgress
            && now - lastProgress > ThreadPool.standstillNanoseconds
    }

    /// Nil unless each thread's job has a descendant in the queue.
    func suspicion(_ now: UInt64) -> ThreadPool.Suspicion? {
        guard standsStill(now) else { return nil }
        let jobs = threads.compactMap(\.job)
        guard jobs.count == threads.count else { return nil }
        let running = Set(jobs.map { ObjectIdentifier($0) })
        var blamed: Set<ObjectIdentifier> = []
        var victim: PoolJob?
        for job in queue.jobs {
            var ancestor = job.ancestor
            while let present = ancestor {
                let id = ObjectIdentifier(present)
                if running.contains(id) {
                    blamed.insert(id)
                    if job.arrival >= victim?.arrival ?? 0 { victim = job }
                }
                ancestor = present.ancestor
            }
        }
        guard blamed.count == running.count, let victim else { return nil }
        return ThreadPool.Suspicion(
            lastProgress: lastProgress,
            threads: threads.map(\.id),
            victim: victim
        )
    }
}
