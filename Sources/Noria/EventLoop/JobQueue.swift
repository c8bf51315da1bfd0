// SPDX-License-Identifier: Apache-2.0
internal import Synchronization

/// As what a job is run: as a member of an actor that lives on the loop, or as anything else.
enum JobRole: UInt {
    case serial = 0
    case generic = 1
    /// Not a job of Swift's but a `PostedWork`.
    case posted = 2
    /// Run as anything else, of a task that prefers this loop: it is never given to another.
    case pinned = 3
}

/// A piece of work that another thread, or a cancellation handler, sends to a loop.
///
/// SAFETY: as an object with these two words first it has the layout that `QueuedJob` reads, so
/// it lies in the same queues, in order with the jobs. `body` runs once, on the loop.
private final class PostedWork {
    var next: UInt = 0
    var role: UInt = JobRole.posted.rawValue
    let body: () -> Void
    init(_ body: @escaping () -> Void) { self.body = body }
}

/// A job of Swift's concurrency library while an executor holds it.
///
/// SAFETY: the runtime's own header `swift/ExecutorImpl.h` gives the layout: object header of two
/// words, then two words that belong to the executor between `enqueue` and the run. We keep the
/// link to the next job in the first, the role in the second. The self-test of
/// `ExecutorInstallation` runs real jobs through it at every start.
struct QueuedJob {
    let address: UnsafeMutableRawPointer

    init(_ job: UnownedJob) {
        address = unsafeBitCast(job, to: UnsafeMutableRawPointer.self)
    }

    init(address: UnsafeMutableRawPointer) { self.address = address }

    init(posting body: @escaping () -> Void) {
        address = Unmanaged.passRetained(PostedWork(body)).toOpaque()
    }

    /// Runs posted work, which ends it.
    func runPosted() { Unmanaged<PostedWork>.fromOpaque(address).takeRetainedValue().body() }

    var job: UnownedJob { unsafeBitCast(address, to: UnownedJob.self) }

    private var words: UnsafeMutablePointer<UInt> {
        (address + 16).assumingMemoryBound(to: UInt.self)
    }

    var next: UnsafeMutableRawPointer? {
        get { UnsafeMutableRawPointer(bitPattern: words[0]) }
        nonmutating set { words[0] = UInt(bitPattern: newValue) }
    }

    var role: JobRole {
        get { JobRole(rawValue: words[1] & 3) ?? .generic }
        nonmutating set { words[1] = newValue.rawValue }
    }

    /// The order in which a loop's two queues are run: behind the role, in the same word.
    var sequence: UInt {
        get { words[1] >> 2 }
        nonmutating set { words[1] = newValue << 2 | words[1] & 3 }
    }
}

/// The jobs of one loop, first in, first out, linked through the jobs themselves.
///
/// It allocates nothing and so can refuse nothing: a job that is refused is a task that hangs.
struct JobQueue: ~Copyable {
    private var head: UnsafeMutableRawPointer?
    private var tail: UnsafeMutableRawPointer?
    private(set) var count = 0

    var isEmpty: Bool { head == nil }
    var first: QueuedJob? { head.map { QueuedJob(address: $0) } }

    mutating func append(_ job: QueuedJob) {
        job.next = nil
        if let tail {
            QueuedJob(address: tail).next = job.address
        } else {
            head = job.address
        }
        tail = job.address
        count &+= 1
    }

    mutating func popFirst() -> QueuedJob? {
        guard let first = head else { return nil }
        let job = QueuedJob(address: first)
        head = job.next
        if head == nil { tail = nil }
        count &-= 1
        return job
    }
}

/// Jobs from other threads: many push, the loop takes all at once.
///
/// A stack by compare-and-exchange, reversed as it is taken, which keeps each producer's order.
struct JobInbox: ~Copyable, Sendable {
    /// The newest job's address; 0 when there is none.
    private let top = Atomic<UInt>(0)

    /// Any thread.
    func push(_ job: QueuedJob) {
        var seen = top.load(ordering: .relaxed)
        while true {
            job.next = UnsafeMutableRawPointer(bitPattern: seen)
            // Sequentially consistent: the producer's first step in the race of `Wakeup`.
            let (done, found) = top.weakCompareExchange(
                expected: seen,
                desired: UInt(bitPattern: job.address),
                successOrdering: .sequentiallyConsistent,
                failureOrdering: .relaxed
            )
            if done { return }
            seen = found
        }
    }

    /// Any thread.
    var isEmpty: Bool { top.load(ordering: .sequentiallyConsistent) == 0 }

    /// Takes everything, the oldest first: each call gets jobs that no other call gets.
    ///
    /// Any thread.
    func takeAll(_ body: (QueuedJob) -> Void) -> Int {
        guard !isEmpty else { return 0 }
        var newest = UnsafeMutableRawPointer(
            bitPattern: top.exchange(0, ordering: .sequentiallyConsistent)
        )
        var oldest: UnsafeMutableRawPointer?
        while let address = newest {
            let job = QueuedJob(address: address)
            newest = job.next
            job.next = oldest
            oldest = address
        }
        var count = 0
        while let address = oldest {
            let job = QueuedJob(address: address)
            oldest = job.next
            body(job)
            count += 1
        }
        return count
    }
}
