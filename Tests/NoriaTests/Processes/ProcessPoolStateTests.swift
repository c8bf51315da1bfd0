// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Noria

@Suite("Who works for whom in a process pool, on a clock that stands until it is moved")
struct ProcessPoolStateTests {
    private typealias Action = ProcessPoolState.Action
    private static let second: UInt64 = 1_000_000_000

    private func pool(
        _ workers: Int = 2,
        queue: Int = 100,
        kills: Bool = false
    ) -> ProcessPoolState {
        ProcessPoolState(
            ProcessPoolState.Limits(workerCount: workers, queueLimit: queue, killsCancelled: kills)
        )
    }

    /// A pool with one worker that has said hello.
    private func pool(idle workers: Int, of limit: Int, kills: Bool = false) -> ProcessPoolState {
        var state = pool(limit, kills: kills)
        for id in 1...UInt64(workers) {
            _ = state.submit(1000 + id, now: 0)
        }
        for id in 1...UInt64(workers) { _ = state.saidHello(id, now: 0) }
        for id in 1...UInt64(workers) { _ = state.answered(id, now: 0) }
        #expect(state.busyCount == 0 && state.workerCount == workers)
        return state
    }

    @Test("a worker is started for each call until there are enough, and takes one at a time")
    func starting() {
        var state = pool(2)
        #expect(state.submit(1, now: 0) == [.start(1)])
        #expect(state.submit(2, now: 0) == [.start(2)])
        #expect(state.submit(3, now: 0) == [])
        #expect(state.saidHello(2, now: 0) == [.give(1, 2)])
        #expect(state.saidHello(1, now: 0) == [.give(2, 1)])
        #expect(state.queueDepth == 1 && state.busyCount == 2)
        let (call, actions) = state.answered(1, now: 0)
        #expect(call == 2 && actions == [.give(3, 1)])
        #expect(state.answered(2, now: 0).actions == [])
        #expect(state.answered(1, now: 0).actions == [])
        #expect(state.submit(4, now: 0) == [.give(4, 1)])
    }

    @Test("a worker that is free is used before another is started")
    func reuse() {
        var state = pool(idle: 1, of: 4)
        #expect(state.submit(1, now: 0) == [.give(1, 1)])
        #expect(state.submit(2, now: 0) == [.start(2)])
    }

    @Test("a death fails the call of that worker and no other, and is replaced at once")
    func death() {
        var state = pool(idle: 2, of: 2)
        _ = state.submit(1, now: 0)
        _ = state.submit(2, now: 0)
        _ = state.submit(3, now: 0)
        #expect(state.ended(2, now: 0) == [.fail(1, 2), .start(3)])
        #expect(state.deathCount == 1 && state.replacementCount == 1)
        #expect(state.answered(1, now: 0).call == 2)
        #expect(state.saidHello(3, now: 0) == [])
        #expect(state.ended(3, now: 0) == [.start(4)], "an idle one is replaced, too")
    }

    @Test("an answer of a worker that has none to give, or has ended, is nobody's")
    func strayAnswers() {
        var state = pool(idle: 1, of: 1)
        #expect(state.answered(1, now: 0).call == nil)
        #expect(state.answered(7, now: 0).call == nil)
        _ = state.submit(1, now: 0)
        _ = state.ended(1, now: 0)
        #expect(state.answered(1, now: 0).call == nil)
        #expect(state.ended(1, now: 0) == [])
    }

    @Test("the second death in a row is replaced after 100 ms, the third after a rest of a second")
    func backOff() {
        var state = pool(idle: 1, of: 1)
        #expect(die(&state, 1, now: 0) == [.start(2)])
        #expect(die(&state, 2, now: 10) == [.wake(at: 100_000_010)])
        #expect(state.timeHasCome(now: 100_000_010) == [.start(3)])
        let third = 200_000_000 as UInt64
        let end = third + Self.second
        #expect(die(&state, 3, now: third) == [.rest(until: end), .wake(at: end)])
        #expect(state.isResting)
        #expect(state.submit(50, now: end - 1) == [.refuse(50, .resting)])
        #expect(state.timeHasCome(now: end) == [.start(4)])
        #expect(state.submit(51, now: end) == [], "it waits for the one on trial")
        #expect(state.saidHello(4, now: end) == [.give(51, 4)])
        #expect(state.answered(4, now: end).actions == [])
        #expect(!state.isResting)
    }

    @Test("each rest without a result between is twice as long, up to 30 s")
    func longerRests() {
        var state = pool(idle: 1, of: 1)
        var now: UInt64 = 0
        var lengths: [UInt64] = []
        var worker: UInt64 = 1
        for _ in 0..<9 {
            let actions = die(&state, worker, now: now)
            for case .rest(let time) in actions { lengths.append((time - now) / Self.second) }
            for case .wake(let time) in actions { now = time }
            worker += 1
            _ = state.timeHasCome(now: now)
        }
        #expect(lengths == [1, 2, 4, 8, 16, 30, 30])
    }

    @Test("deaths that lie apart, and deaths with results between, are those of single calls")
    func harmlessDeaths() {
        var state = pool(idle: 1, of: 1)
        var now: UInt64 = 0
        for worker in 1...20 as ClosedRange<UInt64> {
            #expect(die(&state, worker, now: now) == [.start(worker + 1)])
            if worker < 10 {
                now += 6 * Self.second
            } else {
                _ = state.submit(2000 + worker, now: now)
                _ = state.saidHello(worker + 1, now: now)
                _ = state.answered(worker + 1, now: now)
            }
        }
        #expect(!state.isResting)
    }

    /// Gives a worker a call, at which it ends; what follows but for the call's own failure.
    private func die(_ state: inout ProcessPoolState, _ worker: UInt64, now: UInt64) -> [Action] {
        _ = state.saidHello(worker, now: now)
        #expect(state.submit(100 + worker, now: now) == [.give(100 + worker, worker)])
        let actions = state.ended(worker, now: now)
        #expect(actions.first == .fail(100 + worker, worker))
        return Array(actions.dropFirst())
    }

    @Test("a hopeless start tells those who wait when no worker is left, another does not")
    func failedStart() {
        var state = pool(1)
        _ = state.submit(1, now: 0)
        #expect(state.ended(1, now: 0) == [.start(2)], "killed by whomever: once more")
        #expect(state.ended(2, isHopeless: true, now: 1).first == .refuse(1, .startFailed))
        var other = pool(idle: 1, of: 2)
        _ = other.submit(1, now: 0)
        _ = other.submit(2, now: 0)
        #expect(other.ended(2, isHopeless: true, now: 0) == [.start(3)])
        #expect(other.queueDepth == 1, "the first worker is still there")
    }

    @Test("after a start that failed one worker goes ahead before the others are started")
    func trial() {
        var state = pool(4)
        for call in 1...4 as ClosedRange<UInt64> { _ = state.submit(call, now: 0) }
        var started: [Action] = []
        for worker in 1...4 as ClosedRange<UInt64> {
            started += state.ended(worker, now: 0).filter {
                if case .start = $0 { true } else { false }
            }
        }
        #expect(started.isEmpty, "three others were still on their way, then it rests: \(started)")
        #expect(state.isResting)
    }

    @Test("cancelling takes a call out of the queue, or leaves its worker to finish it")
    func cancelling() {
        var state = pool(idle: 1, of: 1)
        _ = state.submit(1, now: 0)
        _ = state.submit(2, now: 0)
        #expect(state.cancel(2, now: 0) == [.refuse(2, .cancelled)])
        #expect(state.cancel(1, now: 0) == [.refuse(1, .cancelled)])
        #expect(state.cancel(1, now: 0) == [])
        #expect(state.busyCount == 1)
        _ = state.submit(3, now: 0)
        let (call, actions) = state.answered(1, now: 0)
        #expect(call == nil && actions == [.give(3, 1)])
    }

    @Test("cancelling kills the worker where that is asked for, which counts as no trouble")
    func killing() {
        var state = pool(idle: 1, of: 1, kills: true)
        for round in 1...5 as ClosedRange<UInt64> {
            _ = state.submit(round, now: 0)
            #expect(
                state.cancel(round, now: 0)
                    == [.refuse(round, .cancelled), .kill(round), .start(round + 1)]
            )
            #expect(state.ended(round, now: 0) == [])
            _ = state.saidHello(round + 1, now: 0)
        }
        #expect(state.deathCount == 5 && state.replacementCount == 5 && !state.isResting)
    }

    @Test("a time that is up kills the worker of a call that runs, whatever cancelling does")
    func timeOut() {
        var state = pool(idle: 1, of: 1)
        _ = state.submit(1, now: 0)
        _ = state.submit(2, now: 0)
        #expect(state.timeIsUp(2, now: 0) == [.refuse(2, .timedOut)])
        let actions = state.timeIsUp(1, now: 0)
        #expect(actions == [.refuse(1, .timedOut), .kill(1), .start(2)])
        // Its last word came before the signal.
        #expect(state.answered(1, now: 0).call == nil)
        #expect(state.workerCount == 1 && state.presentCount == 2)
    }

    @Test("a queue that is full refuses, and has room again when a call has left")
    func queueLimit() {
        var state = pool(1, queue: 2)
        _ = state.submit(1, now: 0)
        _ = state.submit(2, now: 0)
        #expect(state.submit(3, now: 0) == [.refuse(3, .queueFull)])
        _ = state.cancel(1, now: 0)
        #expect(state.submit(4, now: 0) == [])
        #expect(state.saidHello(1, now: 0) == [.give(2, 1)])
    }

    @Test("one that talks nonsense is killed, and its call fails by its end")
    func nonsense() {
        var state = pool(idle: 1, of: 1)
        _ = state.submit(1, now: 0)
        #expect(state.talkedNonsense(1) == [.kill(1)])
        #expect(state.ended(1, now: 0) == [.fail(1, 1), .start(2)])
        #expect(state.talkedNonsense(9) == [])
    }

    @Test("a close refuses what waits, sends the idle away, kills the rest and waits for all")
    func closing() {
        var state = pool(idle: 2, of: 3)
        _ = state.submit(1, now: 0)
        _ = state.submit(2, now: 0)
        _ = state.submit(3, now: 0)
        _ = state.answered(1, now: 0)
        // 1 has call 3 after call 2, 2 has call 1, 3 is starting.
        _ = state.submit(4, now: 0)
        let actions = state.close(now: 0)
        #expect(Set(actions.compactMap(Self.refused)) == [1, 3, 4])
        #expect(actions.contains(.kill(1)) && actions.contains(.kill(2)))
        #expect(actions.contains(.kill(3)) && !actions.contains(.closed))
        #expect(state.submit(5, now: 0) == [.refuse(5, .closed)])
        #expect(state.ended(1, now: 0) == [])
        #expect(state.ended(3, now: 0) == [])
        #expect(state.ended(2, now: 0) == [.closed])
        #expect(state.close(now: 0) == [])
        #expect(state.deathCount == 0, "they were sent away")
        var idle = pool(idle: 1, of: 1)
        #expect(idle.close(now: 0) == [.dismiss(1)])
        var empty = pool(1)
        #expect(empty.close(now: 0) == [.closed])
    }

    private static func refused(_ action: Action) -> UInt64? {
        if case .refuse(let call, .closed) = action { call } else { nil }
    }

    @Test("whatever comes in whatever order, every call is answered once", arguments: 0..<200)
    func everyCallOnce(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var model = PoolModel(
            workers: Int.random(in: 1...4, using: &random),
            kills: Bool.random(using: &random)
        )
        for _ in 0..<400 { model.step(&random) }
        model.finish()
        #expect(model.unanswered.isEmpty && model.problems.isEmpty, "\(model.problems)")
        #expect(model.state.presentCount == 0)
    }
}

/// What surrounds the state: workers that answer, end and keep silent as chance has it.
private struct PoolModel {
    var state: ProcessPoolState
    var now: UInt64 = 0
    var lastCall: UInt64 = 0
    var unanswered: Set<UInt64> = []
    var problems: [String] = []
    private var alive: Set<UInt64> = []
    private var killed: Set<UInt64> = []
    private var given: [UInt64: UInt64] = [:]
    private let workerLimit: Int

    init(workers: Int, kills: Bool) {
        workerLimit = workers
        state = ProcessPoolState(
            ProcessPoolState.Limits(workerCount: workers, queueLimit: 8, killsCancelled: kills)
        )
    }

    mutating func step(_ random: inout SeededRandom) {
        now += UInt64.random(in: 0...400_000_000, using: &random)
        let worker = alive.sorted().randomElement(using: &random)
        switch Int.random(in: 0..<12, using: &random) {
        case 0...3:
            lastCall += 1
            unanswered.insert(lastCall)
            apply(state.submit(lastCall, now: now))
        case 4: apply(state.cancel(UInt64.random(in: 0...lastCall, using: &random), now: now))
        case 5: apply(state.timeIsUp(UInt64.random(in: 0...lastCall, using: &random), now: now))
        case 6: apply(state.timeHasCome(now: now))
        case 7, 8: if let worker { apply(state.saidHello(worker, now: now)) }
        case 9, 10: if let worker { answer(worker) }
        default:
            guard let worker = killed.sorted().first ?? worker else { return }
            end(worker, isHopeless: Bool.random(using: &random))
        }
        if state.workerCount > workerLimit { problems.append("\(state.workerCount) workers") }
        if state.queueDepth > 8 { problems.append("\(state.queueDepth) calls wait") }
    }

    private mutating func answer(_ worker: UInt64) {
        let (call, actions) = state.answered(worker, now: now)
        if let call {
            if given[worker] != call { problems.append("\(call) answered by \(worker)") }
            settle(call)
        }
        given[worker] = nil
        apply(actions)
    }

    private mutating func end(_ worker: UInt64, isHopeless: Bool) {
        alive.remove(worker)
        killed.remove(worker)
        given[worker] = nil
        apply(state.ended(worker, isHopeless: isHopeless, now: now))
    }

    private mutating func settle(_ call: UInt64) {
        if unanswered.remove(call) == nil { problems.append("\(call) was answered twice") }
    }

    private mutating func apply(_ actions: [ProcessPoolState.Action]) {
        for action in actions {
            switch action {
            case .start(let worker): alive.insert(worker)
            case .give(let call, let worker):
                if given[worker] != nil { problems.append("\(worker) was given two") }
                given[worker] = call
            case .refuse(let call, _), .fail(let call, _): settle(call)
            case .kill(let worker): killed.insert(worker)
            case .dismiss(let worker): killed.insert(worker)
            case .wake(let time): if time <= now { problems.append("a wake in the past") }
            case .rest, .closed: break
            }
        }
    }

    mutating func finish() {
        apply(state.close(now: now))
        for worker in alive.sorted() { end(worker, isHopeless: false) }
    }
}

private struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 &+ 1 }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}
