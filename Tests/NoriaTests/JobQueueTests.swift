// SPDX-License-Identifier: Apache-2.0
import Synchronization
import TestSupport
import Testing

@testable import Noria

@Suite("JobQueue and JobInbox lose no job and keep the order")
struct JobQueueTests {
    /// An inbox at one address, as a loop has it.
    private final class Holder: Sendable {
        let inbox = JobInbox()
        let arrived = Mutex<[[Int]]>(Array(repeating: [], count: 4))
    }

    @Test("A queue is first in, first out, also while it is filled and emptied in turn")
    func fifo() {
        let order = Mutex<[Int]>([])
        var queue = JobQueue()
        #expect(queue.isEmpty == true)
        var number = 0
        func add() {
            let mine = number
            number += 1
            queue.append(QueuedJob(posting: { order.withLock { $0.append(mine) } }))
        }
        for _ in 0..<100 {
            for _ in 0..<3 { add() }
            for _ in 0..<2 { queue.popFirst()?.runPosted() }
        }
        while let job = queue.popFirst() { job.runPosted() }
        #expect(queue.isEmpty == true)
        #expect(order.withLock { $0 } == Array(0..<300))
    }

    @Test("An inbox gives the oldest first and is empty after")
    func oldestFirst() {
        let holder = Holder()
        for number in 0..<10 {
            holder.inbox.push(
                QueuedJob(posting: { holder.arrived.withLock { $0[0].append(number) } })
            )
        }
        #expect(holder.inbox.isEmpty == false)
        #expect(holder.inbox.takeAll { $0.runPosted() } == 10)
        #expect(holder.inbox.isEmpty == true)
        #expect(holder.inbox.takeAll { $0.runPosted() } == 0)
        #expect(holder.arrived.withLock { $0[0] } == Array(0..<10))
    }

    @Test("What four threads push arrives once each, in each thread's order")
    func acrossThreads() {
        let holder = Holder()
        let taken = Mutex(0)
        let jobsPerThread = 20_000
        let working = Atomic<Int>(4)
        PlainThreads.run(5) { index in
            guard index == 4 else {
                for number in 0..<jobsPerThread {
                    holder.inbox.push(
                        QueuedJob(posting: { holder.arrived.withLock { $0[index].append(number) } })
                    )
                }
                working.wrappingSubtract(1, ordering: .releasing)
                return
            }
            // What is pushed before the last thread says that it is done is there afterwards.
            var isLast = false
            while !isLast {
                isLast = working.load(ordering: .acquiring) == 0
                let count = holder.inbox.takeAll { $0.runPosted() }
                taken.withLock { $0 += count }
            }
        }
        #expect(taken.withLock { $0 } == 4 * jobsPerThread)
        let expected = Array(repeating: Array(0..<jobsPerThread), count: 4)
        #expect(holder.arrived.withLock { $0 } == expected)
    }

    @Test("Two who take at once share the jobs and double none")
    func twoTakers() {
        let holder = Holder()
        let jobCount = 50_000
        let ran = Atomic<Int>(0)
        let counted = Atomic<Int>(0)
        let isPushing = Atomic<Bool>(true)
        PlainThreads.run(3) { index in
            guard index > 0 else {
                for _ in 0..<jobCount {
                    holder.inbox.push(
                        QueuedJob(posting: { ran.wrappingAdd(1, ordering: .relaxed) })
                    )
                }
                isPushing.store(false, ordering: .releasing)
                return
            }
            var isLast = false
            while !isLast {
                isLast = !isPushing.load(ordering: .acquiring)
                counted.wrappingAdd(holder.inbox.takeAll { $0.runPosted() }, ordering: .relaxed)
            }
        }
        #expect(ran.load(ordering: .relaxed) == jobCount)
        #expect(counted.load(ordering: .relaxed) == jobCount)
    }

    @Test("A job's role travels with it")
    func role() {
        let job = QueuedJob(posting: {})
        #expect(job.role == .posted)
        var queue = JobQueue()
        queue.append(job)
        #expect(queue.popFirst()?.role == .posted)
        job.runPosted()
    }

    @Test("Posted work lets go of what it captured once it has run")
    func letsGo() {
        final class Captured: Sendable {}
        weak var seen: Captured?
        let job: QueuedJob
        do {
            let captured = Captured()
            seen = captured
            job = QueuedJob(posting: { _ = captured })
        }
        #expect(seen != nil)
        job.runPosted()
        #expect(seen == nil)
    }
}
