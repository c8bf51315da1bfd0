// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaSystem
internal import Synchronization

/// Threads off the loops for calls that block, or compute: bounded, and measured.
///
/// A loop must never wait for a disk, a lock or a library: `run` takes such a call to a thread of
/// the pool while the loop goes on. `Runtime.blocking` is for what waits, `Runtime.compute` for
/// what computes, and `Runtime.makeThreadPool` makes one that shares nothing with others.
///
/// Threads are started on demand: at once while fewer run than there are processors, above that
/// when a job has waited for 5 ms, up to a limit; they leave after 10 s without work. The limit
/// moves with the measured wait, see `Configuration.maximumThreadLimit`.
public final class ThreadPool: Sendable {
    /// What a pool may have.
    public struct Configuration: Sendable, Hashable {
        /// Threads at most, to begin with: 1 to 1,024.
        public var threadLimit: Int
        /// What the limit may grow to while jobs wait for more than 50 ms (the median of 100 ms,
        /// twice), each time by a quarter; the same as `threadLimit` keeps it where it is.
        ///
        /// A step that did not help, since the processors are full, is taken back, down to their
        /// number.
        public var maximumThreadLimit: Int
        /// Calls of `run` that wait at most, not counting those that run: 1,024 by default.
        public var queueLimit: Int
        /// What happens to one more.
        public var whenFull: Admission
        /// How long a thread has nothing to do before it leaves: 10 s.
        public var idleTimeout: Duration

        /// How much less of a contended processor its threads get.
        let niceness: Int32

        /// For calls that wait: min(32, processors × 4) threads, at most four times as many and not
        /// more than 128.
        ///
        /// Processors are those that this process may use: affinity and the quotas of its control
        /// groups.
        public static var blocking: Self {
            let start = min(32, Processors.atStart.count * 4)
            return Self(threadLimit: start, maximumThreadLimit: min(128, start * 4), niceness: 0)
        }

        /// For calls that compute: as many threads as processors, and of lower priority, so that
        /// the loops come first.
        public static var compute: Self {
            let count = Processors.atStart.count
            return Self(threadLimit: count, maximumThreadLimit: count, niceness: 5)
        }

        private init(threadLimit: Int, maximumThreadLimit: Int, niceness: Int32) {
            self.threadLimit = threadLimit
            self.maximumThreadLimit = maximumThreadLimit
            self.niceness = niceness
            queueLimit = 1024
            whenFull = .suspend
            idleTimeout = .seconds(10)
        }
    }

    /// What happens to a call for which the queue has no room.
    @nonexhaustive
    public enum Admission: String, Sendable, Hashable, CaseIterable {
        /// It waits: so does whoever calls, and no memory is used but the caller's own.
        case suspend
        /// It throws `ThreadPoolError` of kind `full`.
        case refuse
    }

    /// Its name in logs, snapshots and the names of its threads.
    public let name: String
    let configuration: Configuration
    let state: Guarded<State>
    let watch: PoolWatch
    let loop: EventLoop
    let logger: Logger
    /// Places in the queue that are taken.
    ///
    /// A caller takes one before its task comes, most without the lock. It goes down under the lock alone, where those who wait are looked at.
    let placeCount = Atomic<Int>(0)
    let waits = Histogram()
    let runs = Histogram()

    /// Starts no thread yet.
    init(
        name: String,
        _ configuration: Configuration,
        processors: Int,
        watch: PoolWatch,
        loop: EventLoop,
        logger: Logger
    ) {
        self.name = name
        self.configuration = configuration
        self.watch = watch
        self.loop = loop
        self.logger = logger
        let limit = ThreadLimit(
            start: configuration.threadLimit,
            maximum: configuration.maximumThreadLimit,
            processors: processors
        )
        state = Guarded(State(limit: limit))
        watch.add(self)
    }

    /// Runs `body` on a thread of the pool and returns what it does; the loop goes on meanwhile.
    ///
    /// The calling task itself goes there and comes back: its task locals and its priority hold in
    /// `body`, and `Task.isCancelled` tells it that the task was cancelled, which ends nothing by
    /// itself. While it waits in the queue a cancellation takes it out at once.
    ///
    /// With a `timeout`, which counts the time in the queue, the caller goes on when it is over:
    /// a body that runs by then runs on, sees `Task.isCancelled`, and what it returns is dropped.
    /// That costs one more task.
    ///
    /// - Throws: what `body` throws; `ThreadPoolError`: `.full` if the pool refuses, `.timedOut`,
    ///   `.closed` when the runtime has ended, `.wouldDeadlock` when every thread waits for calls like
    ///   this one; `CancellationError` when `body` has not begun.
    public func run<Value>(
        name: String = #function,
        timeout: Duration? = nil,
        _ body: sending @escaping () throws -> sending Value
    ) async throws -> sending Value {
        // SAFETY: the body moves to the pool's thread and its value back; nobody else has either.
        let body = Unchecked<() throws -> Unchecked<Value>>({ Unchecked(try body()) })
        guard let timeout else {
            return try await perform(makeJob(name), body).value
        }
        return try await perform(name, within: timeout, leavesWhenCancelled: false, body).value
    }

    /// The same for what can't be stopped, and whose caller does not wait for it when cancelled.
    func runLeavingBehind<Value: Sendable>(
        name: String,
        within timeout: Duration,
        _ body: @escaping @Sendable () throws -> Value
    ) async throws -> Value {
        try await perform(name, within: timeout, leavesWhenCancelled: true, Unchecked(body))
    }

    /// Keeps a whole task on the pool's threads: `Task(executorPreference:)`.
    ///
    /// Every stretch between two waits of such a task is one job of the pool; the limit of the
    /// queue does not hold for it.
    public var taskExecutor: any TaskExecutor { PoolTaskExecutor(self) }

    /// Has jobs run one at a time, in their order, on threads of the pool: the home of an actor
    /// whose methods block.
    ///
    /// A pool may have any number; one without jobs costs nothing but its memory.
    public func makeLane(name: String) -> Lane { Lane(name: name, on: self) }

    // MARK: Going there and back

    private func makeJob(_ name: String) -> PoolJob {
        PoolJob(self, name, isBounded: true, ancestor: PoolJob.presentAncestor)
    }

    /// Takes the calling task to the pool for the time of `body`.
    func perform<Value: Sendable>(
        _ job: PoolJob,
        _ body: Unchecked<() throws -> Value>
    ) async throws -> Value {
        try await admit(job)
        let home = EventLoop.current
        let result = await withTaskCancellationHandler {
            await Self.visit(job, body, from: home)
        } onCancel: {
            self.cancel(job)
        }
        return try result.get()
    }

    /// It is concurrent so that the task of an actor comes back by way of its loop: straight from
    /// here the runtime would go on with the actor on the pool's thread.
    @concurrent private static func visit<Value: Sendable>(
        _ job: PoolJob,
        _ body: Unchecked<() throws -> Value>,
        from home: EventLoop?
    ) async -> Result<Value, any Error> {
        let result = await withTaskExecutorPreference(job) { @concurrent in
            job.result(of: body.value)
        }
        await EventLoop.leave(for: home)
        return result
    }

    /// The same in a task of its own, which is left behind when the time is over.
    private func perform<Value: Sendable>(
        _ name: String,
        within timeout: Duration,
        leavesWhenCancelled: Bool,
        _ body: Unchecked<() throws -> Value>
    ) async throws -> Value {
        let job = makeJob(name)
        let race = PoolRace<Value>()
        TaskHook.beginOwn()
        let task = Task(name: name) { @concurrent in
            do {
                race.finish(.success(try await self.perform(job, body)))
            } catch {
                race.finish(.failure(error))
            }
        }
        TaskHook.endOwn()
        let leave = { @Sendable (error: any Error) in
            if race.finish(.failure(error)) { self.abandon(job) }
            task.cancel()
        }
        let timer = PoolTimer(timeout, on: EventLoop.current ?? loop) {
            leave(ThreadPoolError(.timedOut, name, self, "not done after \(timeout)"))
        }
        let result = await withTaskCancellationHandler {
            await race.result()
        } onCancel: {
            if leavesWhenCancelled { leave(CancellationError()) } else { task.cancel() }
        }
        timer.end()
        return try result.get()
    }
}

extension PoolJob {
    /// Runs it as what its tasks descend from.
    ///
    /// The result stands outside: its type inside would be looked up for each job.
    private func run<Value>(_ body: () throws -> Value) -> Result<Value, any Error> {
        defer { hasEnded.store(true, ordering: .relaxed) }
        return Result { try PoolJob.$current.withValue(self, operation: body) }
    }

    /// Runs what the caller gave, unless the job never came to a thread of the pool.
    fileprivate func result<Value>(of body: () throws -> Value) -> Result<Value, any Error> {
        switch place {
        case .running:
            run(body)
        case .deadlocked:
            .failure(
                ThreadPoolError(
                    .wouldDeadlock,
                    name,
                    pool,
                    "it waits for a thread, and every thread waits in a job that began such a call:"
                        + " give one of them a pool of its own"
                )
            )
        case .closed: .failure(ThreadPoolError(.closed, name, pool, "the runtime has ended"))
        case .outside, .queued, .cancelled: .failure(CancellationError())
        }
    }
}

/// Why a pool has not run a job, or not to its end.
public struct ThreadPoolError: Error, CustomStringConvertible, Sendable {
    /// The reasons.
    @nonexhaustive
    public enum Kind: String, Sendable, Hashable, CustomStringConvertible {
        /// The queue has no room, and the pool refuses.
        case full
        /// It was not done in its time.
        case timedOut
        /// It waited for a pool whose every thread waited for such a call, for 10 s: a job that
        /// waits by a semaphore for a task that calls its own pool.
        case wouldDeadlock
        /// The runtime has ended.
        case closed

        /// Its name.
        public var description: String { rawValue }
    }

    /// The reason.
    public let kind: Kind
    /// The job, as it was named.
    public let job: String
    /// The pool.
    public let pool: String
    private let text: String

    init(_ kind: Kind, _ job: String, _ pool: ThreadPool, _ text: String) {
        self.kind = kind
        self.job = job
        self.pool = pool.name
        self.text = text
    }

    /// `query (pool blocking): not done after 1.0 seconds`.
    public var description: String { "\(job) (pool \(pool)): \(text)" }
}
