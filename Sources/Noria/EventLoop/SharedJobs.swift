// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
internal import Synchronization
internal import SystemPackage

/// The jobs of one loop that another may take, while there are several: those of tasks that belong
/// to no loop, no actor of a loop and no operation under way.
///
/// A task that is started on a loop stays there, which saves the hop; but a loop that is busy must
/// not keep from the others what they could run. DESIGN §5.
final class SharedJobs: Sendable {
    private let queue = Guarded(JobQueue())
    private let waiting = Atomic<Int>(0)
    /// What other threads bring, until the loop or a thief sorts it in.
    let inbox = JobInbox()

    /// Any thread.
    var count: Int { waiting.load(ordering: .sequentiallyConsistent) }
    /// Any thread.
    var isEmpty: Bool { count == 0 }
    /// Any thread.
    var hasWork: Bool { !isEmpty || !inbox.isEmpty }

    /// The loop's own thread.
    func append(_ job: QueuedJob) {
        queue.withLock { $0.append(job) }
        waiting.wrappingAdd(1, ordering: .sequentiallyConsistent)
    }

    /// The first, if it was queued before everything else that the loop has.
    func popFirst(before sequence: UInt?) -> QueuedJob? {
        let job = queue.withLock { queue -> QueuedJob? in
            guard let first = queue.first else { return nil }
            if let sequence, sequence < first.sequence { return nil }
            return queue.popFirst()
        }
        if job != nil { waiting.wrappingSubtract(1, ordering: .sequentiallyConsistent) }
        return job
    }

    /// Takes the older half, at least one, and all that others brought.
    ///
    /// A thief's thread.
    func takeHalf(_ body: (QueuedJob) -> Void) {
        for _ in 0..<(waiting.load(ordering: .sequentiallyConsistent) + 1) / 2 {
            guard let job = popFirst(before: nil) else { break }
            body(job)
        }
        _ = inbox.takeAll(body)
    }
}

/// Sees that no loop sleeps while another keeps jobs waiting that it could run.
///
/// A plain thread, since a loop that is stuck in a job can give nothing away itself. It is awake
/// only while some loop has such jobs and another sleeps, and then looks every 5 ms: a loop that
/// has been in one job for two looks, or over its budget for a turn, loses half of them.
///
/// The race of its going to sleep is closed as in `Wakeup`: it says that it will sleep, then looks
/// once more; a loop changes its queue, or goes to sleep, and then looks whether it is awake.
final class LoopMonitor: Sendable {
    private let loops: EventLoopGroup
    private let isAwake = Atomic<Bool>(false)
    private let isEnding = Atomic<Bool>(false)
    private let event: Int32
    private let ended: Int32

    private static let lookNanoseconds: Int64 = 5_000_000

    /// Before the loops turn.
    init(_ loops: EventLoopGroup) throws(Errno) {
        self.loops = loops
        event = try Descriptor.event()
        do throws(Errno) { ended = try Descriptor.event() } catch {
            Descriptor.close(event)
            throw error
        }
        for loop in loops { loop.monitor = self }
    }

    func start() throws(Errno) { try Thread.start { self.run() } }

    deinit {
        Descriptor.close(event)
        Descriptor.close(ended)
    }

    /// A loop has shared jobs that wait, or will sleep.
    ///
    /// Loop threads only.
    @inline(__always)
    func look() {
        if !isAwake.load(ordering: .sequentiallyConsistent) { wakeIfWanted() }
    }

    private func wakeIfWanted() {
        guard isWanted, !isAwake.exchange(true, ordering: .sequentiallyConsistent) else { return }
        Descriptor.signalEvent(event)
    }

    private var isWanted: Bool {
        loops.contains(where: \.shared.hasWork) && loops.contains(where: \.isSleeping)
    }

    /// After the loops have turned.
    func end() {
        for loop in loops { loop.monitor = nil }
        isEnding.store(true, ordering: .releasing)
        Descriptor.signalEvent(event)
        while !Descriptor.waits(ended, nanoseconds: .max) {}
    }

    private func run() {
        Thread.name("noria monitor")
        defer { Descriptor.signalEvent(ended) }
        var seen = loops.map { ($0.progress, 0) }
        while !isEnding.load(ordering: .acquiring) {
            _ = Descriptor.waits(event, nanoseconds: .max)
            Descriptor.clearEvent(event)
            repeat {
                Thread.sleep(nanoseconds: Self.lookNanoseconds)
                for (index, loop) in loops.enumerated() {
                    let progress = loop.progress
                    seen[index] = (progress, progress == seen[index].0 ? seen[index].1 + 1 : 0)
                    let isStuck = seen[index].1 >= 2 || loop.isOverloaded
                    guard isStuck, loop.shared.hasWork else { continue }
                    guard let thief = loops.first(where: \.isSleeping) else { break }
                    thief.post { thief.take(from: loop) }
                }
            } while isWanted && !isEnding.load(ordering: .acquiring)
            isAwake.store(false, ordering: .sequentiallyConsistent)
            if isWanted { wakeIfWanted() }
        }
    }
}
