// SPDX-License-Identifier: Apache-2.0
import NoriaEngine
import NoriaSystem
import Synchronization
import TestSupport
import Testing

@testable import Noria

/// One loop turned by a plain thread, without a runtime: the parts of a turn that need no task.
@Suite struct EventLoopTurns {
    private static let kinds: [BackendKind] = [.ioUring, .epoll, .poll].filter {
        BackendSelection.make([$0], bufferCapacity: 4, bufferByteCount: 64).backend != nil
    }

    /// Runs a loop on a thread of its own; `body` gets it, and its end ends the loop.
    private static func withLoop(
        _ kind: BackendKind,
        before: @escaping @Sendable (EventLoop) -> Void = { _ in },
        _ body: (EventLoop) throws -> Void
    ) throws {
        let (loop, isEnded) = try start(kind, before)
        try body(loop)
        loop.post { loop.finish() }
        try isEnded.wait(for: "the loop's end")
    }

    private static func start(
        _ kind: BackendKind,
        _ before: @escaping @Sendable (EventLoop) -> Void = { _ in }
    ) throws -> (loop: EventLoop, isEnded: Gate) {
        let loop = try EventLoop(index: 1)
        let isEnded = Gate()
        try Thread.start {
            let (backend, _) = BackendSelection.make([kind], bufferCapacity: 4)
            guard let backend, (try? loop.begin(engine: Engine(backend: backend))) != nil else {
                return
            }
            before(loop)
            loop.run(TurnBudget())
            loop.end()
            isEnded.pass()
        }
        return (loop, isEnded)
    }

    @Test("No post is lost, whenever it comes, and the order is kept", arguments: kinds)
    func posts(_ kind: BackendKind) throws {
        try Self.withLoop(kind) { loop in
            // Each comes as the loop has just run the one before, and is about to sleep.
            let ranCount = Atomic<Int>(0)
            for round in 0..<20_000 {
                loop.post { ranCount.store(round + 1, ordering: .releasing) }
                let end = MonotonicClock.now + 10_000_000_000
                while ranCount.load(ordering: .acquiring) <= round {
                    guard MonotonicClock.now < end else { throw Missed("post \(round)") }
                }
            }
        }
    }

    @Test("What a job posts is seen before the loop sleeps", arguments: kinds)
    func ownPosts(_ kind: BackendKind) throws {
        let all = Gate(count: 100)
        try Self.withLoop(kind) { loop in
            // It comes after the turn has emptied its inbox, and nobody else rouses the loop.
            @Sendable func next(_ left: Int) {
                all.pass()
                if left > 1 { loop.post { next(left - 1) } }
            }
            loop.post { next(100) }
            try all.wait(for: "a hundred posts")
        }
    }

    @Test("What a job of the last turn posts is still run", arguments: kinds)
    func lastTurn(_ kind: BackendKind) throws {
        let ranCount = Atomic<Int>(0)
        try Self.withLoop(kind) { loop in
            loop.post {
                for _ in 0..<10 {
                    loop.post { ranCount.wrappingAdd(1, ordering: .relaxed) }
                }
            }
        }
        let count = ranCount.load(ordering: .relaxed)
        #expect(count == 10)
    }

    @Test("A sleeping loop wakes for its timers, in order and not early", arguments: kinds)
    func timers(_ kind: BackendKind) throws {
        let fired = Mutex<[UInt]>([])
        let all = Gate()
        let begin = MonotonicClock.now
        try Self.withLoop(kind) { loop in
            loop.post {
                let owner = Owner { context in
                    let count = fired.withLock {
                        if MonotonicClock.now < begin + UInt64(context) * 1_000_000 { $0.append(0) }
                        $0.append(context)
                        return $0.count
                    }
                    if count >= 3 { all.pass() }
                }
                for milliseconds in [30, 5, 17] as [UInt] {
                    _ = loop.timers.add(
                        deadline: begin + UInt64(milliseconds) * 1_000_000,
                        owner: owner,
                        context: milliseconds
                    )
                }
            }
            try all.wait(for: "three timers")
        }
        #expect(fired.withLock { $0 } == [5, 17, 30])
    }

    @Test("What is brought to a loop runs there, also when it never waits", arguments: kinds)
    func brought(_ kind: BackendKind) async throws {
        let haveBegun = Gate(count: 2)
        let (loop, isEnded) = try Self.start(kind) { _ in haveBegun.pass() }
        let (other, otherIsEnded) = try Self.start(kind) { _ in haveBegun.pass() }
        try haveBegun.wait(for: "both loops to begin")
        // The task prefers another loop: a hop that is not made leaves it there.
        let task = Task(executorPreference: other.taskExecutor) {
            var places: [Bool] = []
            for _ in 0..<100 {
                places.append(await loop.bring { loop.isCurrent })
                places.append(other.isCurrent)
            }
            return places
        }
        #expect(await task.value == [Bool](repeating: true, count: 200))
        for (loop, isEnded) in [(loop, isEnded), (other, otherIsEnded)] {
            loop.post { loop.finish() }
            try isEnded.wait(for: "the loop's end")
        }
    }

    private final class Owner: TimerOwner {
        private let body: (UInt) -> Void
        init(_ body: @escaping (UInt) -> Void) { self.body = body }
        func timerFired(_ context: UInt) { body(context) }
    }
}

/// Something that did not come within ten seconds.
private struct Missed: Error, CustomStringConvertible {
    let description: String
    init(_ what: String) { description = "waited in vain for \(what)" }
}
