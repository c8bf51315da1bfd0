// SPDX-License-Identifier: Apache-2.0
import NoriaSystem
import TestSupport
import Testing

@testable import Noria

@Suite("A parker")
struct ParkerTests {
    @Test("a rouse that comes first is kept, several count once, and time passes else")
    func early() {
        let parker = Parker()
        parker.rouse()
        parker.rouse()
        #expect(parker.park(nanoseconds: 10_000_000_000))
        #expect(!parker.park(nanoseconds: 1_000_000))
        #expect(!parker.park(nanoseconds: 0))
        parker.rouse()
        #expect(parker.park(nanoseconds: 0))
    }

    @Test("two threads rouse each other 20,000 times")
    func pingPong() throws {
        let (one, other) = (Parker(), Parker())
        let misses = Locked(0)
        PlainThreads.run(2) { index in
            let (mine, theirs) = index == 0 ? (one, other) : (other, one)
            for _ in 0..<20_000 {
                if index == 0 { theirs.rouse() }
                if !mine.park(nanoseconds: 10_000_000_000) { misses.withLock { $0 += 1 } }
                if index == 1 { theirs.rouse() }
            }
        }
        #expect(misses.withLock { $0 } == 0)
    }
}

@Suite("What the kernel tells of a thread")
struct KernelWaitTests {
    @Test(
        "a wait for another thread counts when it has no time limit, and what is no wait never",
        arguments: [(Int64.max, true), (60_000_000_000, false)]
    )
    func limits(nanoseconds: Int64, isForAnother: Bool) throws {
        let (parker, id) = (Parker(), Locked<Int32>(0))
        let thread = try Thread.startJoinable {
            id.withLock { $0 = Thread.id }
            _ = parker.park(nanoseconds: nanoseconds)
        }
        defer {
            parker.rouse()
            thread.join()
        }
        // It may stand before the futex for a while: its start, or a lock.
        try Waiting.until("the thread to park") {
            let id = id.withLock { $0 }
            guard id != 0, let text = KernelWait.text(ofThread: id), text.contains("futex") else {
                return false
            }
            return KernelWait.isForAnotherThread(id) == isForAnother
        } seen: {
            KernelWait.text(ofThread: id.withLock { $0 }) ?? "nothing"
        }
        #expect(!KernelWait.isForAnotherThread(Thread.id))
        #expect(!KernelWait.isForAnotherThread(0))
    }
}

@Suite("A file's descriptor")
struct FileHandleTests {
    @Test("it is closed by the last who uses it, and nobody comes after the close")
    func lastUser() throws {
        let fd = try Files.open("/dev/zero", flags: 0, permissions: [])
        let handle = FileHandle(fd, "/dev/zero", isBuffered: true)
        try handle.withDescriptor { inner throws(Errno) in
            handle.close()
            // Still open: a closed one has no status.
            _ = try Files.status(of: inner)
        }
        #expect(throws: Errno.badFileDescriptor) { try Files.status(of: fd) }
        #expect(throws: Errno.badFileDescriptor) {
            try handle.withDescriptor { _ throws(Errno) in }
        }
        handle.close()
    }
}

@Suite("The queue of a pool")
struct PoolQueueTests {
    /// Jobs in the order in which they come out.
    private func order(_ levels: [Int], removing removed: [Int] = []) -> [Int] {
        let loop = ExecutorInstallation.mainLoop
        let pool = ThreadPool(
            name: "test",
            .blocking,
            processors: 2,
            watch: PoolWatch(logger: RuntimeConfiguration.production.logger),
            loop: loop,
            logger: RuntimeConfiguration.production.logger
        )
        var queue = PoolQueue()
        let jobs = levels.indices.map { PoolJob(pool, "\($0)", isBounded: false) }
        for (job, level) in zip(jobs, levels) { queue.append(job, level: level) }
        for index in removed { queue.remove(jobs[index]) }
        #expect(queue.count == levels.count - removed.count)
        var order: [Int] = []
        while let job = queue.popFirst() { order.append(Int(job.name) ?? -1) }
        #expect(queue.count == 0)
        #expect(queue.oldestArrival == nil)
        return order
    }

    @Test("the urgent first, each line in its order; what was taken out is gone")
    func lines() {
        #expect(order([1, 2, 0, 1, 0]) == [2, 4, 0, 3, 1])
        #expect(order([1, 1, 1, 1], removing: [0, 2]) == [1, 3])
        #expect(order([1, 1], removing: [1, 0]).isEmpty)
        #expect(order([0], removing: [0]).isEmpty)
    }

    @Test("every 16th comes from below, so nothing waits for ever")
    func fairness() {
        let order = order([2] + [Int](repeating: 0, count: 40))
        #expect(order.firstIndex(of: 0) == 15)
    }
}
