// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
internal import Synchronization

/// One thing that a pool's thread is to run, and its place in the queue.
///
/// For a call of `ThreadPool.run` it is a task executor, too: the calling task itself comes to the
/// pool by preferring it, so that its task locals, priority and cancellation need nobody to carry
/// them, and leaves again.
///
/// SAFETY (`@unchecked Sendable`): what can change belongs to the pool's lock, but `place`, which
/// is written there before the job is run, and read by what runs in it.
final class PoolJob: TaskExecutor, @unchecked Sendable {
    /// How far it has come.
    enum Place {
        /// Not in the queue yet.
        case outside
        case queued
        /// On one of the pool's threads.
        case running
        /// Taken out of the queue, or never let in: nothing is to be run.
        case cancelled, closed, deadlocked
    }

    /// What a thread runs.
    enum Work {
        /// A job of a task, by the executor that it prefers.
        case task(UnownedJob, UnownedTaskExecutor)
        /// The jobs that wait in a lane.
        case lane(ThreadPool.Lane)
    }

    let pool: ThreadPool
    let name: String
    /// The job whose body began the task that calls, if it had not ended then.
    let ancestor: PoolJob?
    let hasEnded = Atomic(false)
    /// Whether it holds one of the places that the queue's limit counts.
    let isBounded: Bool
    var work: Work?
    var place = Place.outside
    /// When its caller came: a wait for a place in the queue is a wait, too.
    let arrival: UInt64
    /// Among those that came, for the offered load: who waits for a place is before its task comes.
    var isCounted = false
    /// Cancelled before it came to the queue.
    var isCancelled = false
    /// Its caller has gone on without it.
    var isAbandoned = false

    // Its neighbours in the queue.
    var next: PoolJob?
    unowned(unsafe) var previous: PoolJob?
    var level = 0

    init(_ pool: ThreadPool, _ name: String, isBounded: Bool, ancestor: PoolJob? = nil) {
        self.pool = pool
        self.name = name
        self.ancestor = ancestor
        self.isBounded = isBounded
        arrival = MonotonicClock.now
    }

    func enqueue(_ job: UnownedJob) {
        pool.enqueue(self, .task(job, asUnownedTaskExecutor()), job.priority)
    }

    func enqueue(_ job: consuming ExecutorJob) { enqueue(UnownedJob(job)) }

    func run() {
        switch work.take() {
        case .task(let job, let executor): job.runSynchronously(on: executor)
        case .lane(let lane): lane.run()
        case nil: preconditionFailure("a job that runs has its work")
        }
    }
}

/// The jobs that wait: three lines by priority, each first in, first out.
///
/// Any of them can be taken out at once. Every 16th comes from the lowest line that has one, so
/// that nothing waits for ever behind what is more urgent.
struct PoolQueue {
    private struct Line {
        var first: PoolJob?
        unowned(unsafe) var last: PoolJob?
    }

    private var lines = (0..<3).map { _ in Line() }
    private(set) var count = 0
    private var takenCount = 0

    private static let fairness = 16

    static func level(of priority: JobPriority) -> Int {
        switch priority.rawValue {
        case TaskPriority.high.rawValue...: 0
        case TaskPriority.medium.rawValue...: 1
        default: 2
        }
    }

    /// When the one that has waited longest came.
    var oldestArrival: UInt64? { lines.compactMap { $0.first?.arrival }.min() }

    mutating func append(_ job: PoolJob, level: Int) {
        job.level = level
        job.previous = lines[level].last
        if let last = lines[level].last { last.next = job } else { lines[level].first = job }
        lines[level].last = job
        count += 1
    }

    mutating func remove(_ job: PoolJob) {
        let next = job.next.take()
        if let previous = job.previous {
            previous.next = next
        } else {
            lines[job.level].first = next
        }
        if let next { next.previous = job.previous } else { lines[job.level].last = job.previous }
        job.previous = nil
        count -= 1
    }

    /// All that wait, line by line.
    var jobs: [PoolJob] {
        lines.flatMap { line in
            Array(
                sequence(state: line.first) { job in
                    defer { job = job?.next }
                    return job
                }
            )
        }
    }

    mutating func popFirst() -> PoolJob? {
        guard count > 0 else { return nil }
        takenCount &+= 1
        let fromBelow = takenCount % Self.fairness == 0
        let line = fromBelow ? lines.last { $0.first != nil } : lines.first { $0.first != nil }
        guard let job = line?.first else { return nil }
        remove(job)
        return job
    }
}
