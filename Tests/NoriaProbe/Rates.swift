// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria
import NoriaEngine
import Synchronization

/// How often a second single operations can be done; `Benchmarks/rates` runs it in release.
///
/// Each prints `NAME: COUNT operations NANOSECONDS ns`, wall clock, and what else it counted.
enum Rates {
    private static func argument(_ index: Int, _ fallback: Int) -> Int {
        let arguments = CommandLine.arguments
        return arguments.count > index ? Int(arguments[index]) ?? fallback : fallback
    }

    private static func nanoseconds() -> UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    }

    private final class Nobody: TimerOwner {
        func timerFired(_ context: UInt) {}
    }

    /// Adds a timer and cancels one chosen at random, with so many pending all the time.
    ///
    /// Deadlines are 1 ms to 60 s ahead, as time-outs are. The generator is xorshift: its few
    /// instructions are in the figure.
    static func timers() {
        let pending = argument(2, 1000)
        let count = argument(3, 10_000_000)
        let owner = Nobody()
        var random: UInt64 = 0x9E37_79B9_7F4A_7C15
        func next() -> UInt64 {
            random ^= random << 13
            random ^= random >> 7
            random ^= random << 17
            return random
        }
        var queue = TimerQueue(now: 0)
        var ids = (0..<pending).map { _ in
            queue.add(deadline: 1_000_000 + next() % 60_000_000_000, owner: owner)
        }
        let start = nanoseconds()
        for _ in 0..<count {
            let value = next()
            let index = Int((value >> 32) * UInt64(pending) >> 32)
            queue.cancel(ids[index])
            ids[index] = queue.add(
                deadline: 1_000_000 + (value & 0xFFFF_FFFF) * 14,
                owner: owner
            )
        }
        let taken = nanoseconds() - start
        precondition(queue.count == pending, "a timer was lost")
        print("timers \(pending): \(count) operations \(taken) ns")
    }

    /// Where a task that waits leaves its continuation for the thread that resumes it.
    private final class Slots: Sendable {
        static let count = 4096
        private let slots: [Slot]

        private final class Slot: Sendable { let bits = Atomic<UInt>(0) }

        init() { slots = (0..<Self.count).map { _ in Slot() } }

        func park(_ index: Int) async {
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
                // SAFETY: a continuation is one word; it is taken out once, and resumed once.
                let bits = unsafeBitCast(continuation, to: UInt.self)
                slots[index].bits.store(bits, ordering: .releasing)
            }
        }

        /// False when nobody waits there at the moment.
        func resume(_ index: Int) -> Bool {
            let bits = slots[index].bits.exchange(0, ordering: .acquiring)
            guard bits != 0 else { return false }
            // SAFETY: see `park`.
            unsafeBitCast(bits, to: UnsafeContinuation<Void, Never>.self).resume()
            return true
        }
    }

    /// Resumes tasks of a busy loop from one foreign thread.
    static func posts() {
        let rounds = argument(2, 2000)
        Runtime.main(NoriaProbe.configuration) { runtime in
            let slots = Slots()
            let loop = runtime.eventLoops.main
            let before = loop.snapshot()
            let start = nanoseconds()
            let thread = PlainThread {
                for _ in 0..<rounds {
                    for index in 0..<Slots.count { while !slots.resume(index) { sched_yield() } }
                }
            }
            await withDiscardingTaskGroup { group in
                for index in 0..<Slots.count {
                    group.addTask { for _ in 0..<rounds { await slots.park(index) } }
                }
            }
            let taken = nanoseconds() - start
            thread.join()
            let after = loop.snapshot()
            print(
                "posts: \(rounds * Slots.count) operations \(taken) ns,"
                    + " \(after.wakeups - before.wakeups) wakeups in"
                    + " \(after.turns - before.turns) turns"
            )
        }
    }

    /// A time-out that does not fire, round a body that returns at once.
    static func timeouts() {
        let count = argument(2, 1_000_000)
        Runtime.main(NoriaProbe.configuration) { _ in
            var sum = 0
            let start = nanoseconds()
            for number in 0..<count {
                sum &+= try await withTimeout(.seconds(5)) { number }
            }
            let taken = nanoseconds() - start
            precondition(sum == count * (count - 1) / 2)
            print("withTimeout: \(count) operations \(taken) ns")
        }
    }

    /// The least that can be cancelled by itself: a group with one immediate child that does nothing.
    static func children() {
        let count = argument(2, 1_000_000)
        Runtime.main(NoriaProbe.configuration) { _ in
            let start = nanoseconds()
            await childByChild(count)
            let taken = nanoseconds() - start
            print("child: \(count) operations \(taken) ns")
        }
    }

    @concurrent private static func childByChild(_ count: Int) async {
        for _ in 0..<count {
            await withDiscardingTaskGroup { group in group.addImmediateTask {} }
        }
    }

    /// A sleep that is cancelled: the timer is added and taken back, the task made and ended.
    static func cancellations() {
        let count = argument(2, 200_000)
        Runtime.main(NoriaProbe.configuration) { _ in
            let start = nanoseconds()
            for _ in 0..<count {
                let task = Task { try await Task.sleep(for: .seconds(60)) }
                await Task.yield()
                task.cancel()
                _ = await task.result
            }
            let taken = nanoseconds() - start
            print("cancelled sleep: \(count) operations \(taken) ns")
        }
    }
}

/// A thread of the platform's, which no executor knows.
private final class PlainThread {
    private var handle = pthread_t()

    init(_ body: @escaping @Sendable () -> Void) {
        let context = Unmanaged.passRetained(Body(body)).toOpaque()
        let status = pthread_create(
            &handle,
            nil,
            { context in
                if let context { Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run() }
                return nil
            },
            context
        )
        precondition(status == 0, "no thread: \(status)")
    }

    func join() { pthread_join(handle, nil) }

    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }
}

/// The pool for blocking calls under `Benchmarks/offload`.
enum PoolRates {
    /// One call after the other, into a pool that is idle.
    static func roundTrips() {
        let count = Int(CommandLine.arguments.dropFirst(2).first ?? "") ?? 100_000
        Runtime.main { runtime in
            for _ in 0..<1_000 { _ = try await runtime.blocking.run { 1 } }
            let begin = ContinuousClock.now
            for _ in 0..<count { _ = try await runtime.blocking.run { 1 } }
            report("round trips", count, begin.duration(to: .now))
        }
    }

    /// 1,000 tasks, 1,000 calls each, into one pool of eight threads.
    static func contention() {
        let configuration = RuntimeConfiguration.production.with {
            $0.blocking.threadLimit = 8
            $0.blocking.maximumThreadLimit = 8
        }
        Runtime.main(configuration) { runtime in
            let begin = ContinuousClock.now
            try await withThrowingDiscardingTaskGroup { group in
                for _ in 0..<1_000 {
                    group.addTask {
                        for _ in 0..<1_000 { _ = try await runtime.blocking.run { 1 } }
                    }
                }
            }
            report("contention", 1_000_000, begin.duration(to: .now))
        }
    }

    private static func report(_ name: String, _ count: Int, _ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        print(
            "\(name): \(count) operations \(seconds * 1_000_000_000 + attoseconds / 1_000_000_000) ns"
        )
    }
}
