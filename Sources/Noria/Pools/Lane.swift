// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem

extension ThreadPool {
    /// Jobs one at a time, in their order, on whichever thread of the pool is free: the home of an
    /// actor whose methods block.
    ///
    /// ```swift
    /// actor Database {
    ///     private let lane: ThreadPool.Lane
    ///     nonisolated var unownedExecutor: UnownedSerialExecutor { lane.unownedExecutor }
    /// }
    /// ```
    ///
    /// A plain `init` of an actor runs on its caller: open what blocks in a method. While jobs wait
    /// the lane holds one thread of the pool at most, for 10 ms before others have their turn; it
    /// is not bound by the limit of the queue. When the runtime has ended its jobs run on a loop of
    /// the next.
    public final class Lane: Sendable, CustomStringConvertible {
        private struct State {
            var jobs: [UnownedJob] = []
            /// It is in the pool's queue, or a thread runs its jobs.
            var isUnderWay = false
            /// The thread that runs them.
            var threadID: Int32 = 0
        }

        /// Its name in logs and snapshots.
        public let name: String
        private let pool: ThreadPool
        private let state = Guarded(State())

        private static let turnNanoseconds: UInt64 = 10_000_000

        init(name: String, on pool: ThreadPool) {
            self.name = name
            self.pool = pool
        }

        /// `lane database of pool blocking`.
        public var description: String { "lane \(name) of pool \(pool.name)" }

        /// Runs what waits, in order, for one turn.
        func run() {
            let begin = MonotonicClock.now
            state.withLock { $0.threadID = Thread.id }
            while true {
                let jobs = state.withLock { state in
                    defer { state.jobs = [] }
                    if state.jobs.isEmpty { (state.isUnderWay, state.threadID) = (false, 0) }
                    return state.jobs
                }
                guard !jobs.isEmpty else { return }
                for (index, job) in jobs.enumerated() {
                    job.runSynchronously(on: asUnownedSerialExecutor())
                    guard MonotonicClock.now &- begin >= Self.turnNanoseconds else { continue }
                    return standBack(before: jobs[(index + 1)...])
                }
            }
        }

        private func standBack(before rest: ArraySlice<UnownedJob>) {
            let hasMore = state.withLock { state in
                state.jobs.insert(contentsOf: rest, at: 0)
                state.threadID = 0
                state.isUnderWay = !state.jobs.isEmpty
                return state.isUnderWay
            }
            if hasMore { submit(.medium) }
        }

        private func submit(_ priority: TaskPriority) {
            let job = PoolJob(pool, name, isBounded: false)
            pool.enqueue(job, .lane(self), JobPriority(priority))
        }
    }
}

extension ThreadPool.Lane: SerialExecutor {
    /// The executor of actors that live on this lane.
    ///
    /// Any thread. The actor must keep the lane, which an executor's reference does not.
    public var unownedExecutor: UnownedSerialExecutor { asUnownedSerialExecutor() }

    /// Takes a job of an actor that lives here.
    ///
    /// Any thread.
    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let begins = state.withLock { state in
            state.jobs.append(job)
            defer { state.isUnderWay = true }
            return !state.isUnderWay
        }
        if begins { submit(TaskPriority(job.priority) ?? .medium) }
    }

    /// Whether the calling code belongs to an actor of this lane.
    public func isIsolatingCurrentContext() -> Bool? {
        state.withLock { $0.threadID == Thread.id }
    }

    /// Traps when the calling code does not belong to an actor of this lane.
    public func checkIsolated() {
        precondition(isIsolatingCurrentContext() == true, "this code belongs to \(self)")
    }
}

/// Keeps a whole task on a pool.
final class PoolTaskExecutor: TaskExecutor {
    private let pool: ThreadPool

    init(_ pool: ThreadPool) { self.pool = pool }

    func enqueue(_ job: UnownedJob) {
        let entry = PoolJob(pool, "a task's job", isBounded: false)
        pool.enqueue(entry, .task(job, asUnownedTaskExecutor()), job.priority)
    }

    func enqueue(_ job: consuming ExecutorJob) { enqueue(UnownedJob(job)) }
}
