// SPDX-License-Identifier: Apache-2.0

/// Who works for whom in a process pool, and when a worker is started: events in, actions out.
///
/// It knows numbers alone, no process and no clock: `ProcessPoolDriver` does what it says. A call is
/// answered once: by the action that takes its number out of here, or by the result of the worker
/// that it was given to.
struct ProcessPoolState {
    typealias CallID = UInt64
    typealias WorkerID = UInt64

    enum Action: Equatable {
        case start(WorkerID)
        case give(CallID, WorkerID)
        /// The call ends with this, and without a result.
        case refuse(CallID, Refusal)
        /// The worker's own end says why.
        case fail(CallID, WorkerID)
        case kill(WorkerID)
        /// Tells an idle worker to go.
        case dismiss(WorkerID)
        /// Calls `timeHasCome` then.
        case wake(at: UInt64)
        case rest(until: UInt64)
        /// No worker is left after `close`.
        case closed
    }

    enum Refusal: Equatable { case cancelled, timedOut, queueFull, resting, startFailed, closed }

    struct Limits: Equatable {
        var workerCount: Int
        var queueLimit: Int
        var killsCancelled: Bool
    }

    private enum Phase: Equatable {
        /// It was started, and has not said hello.
        case starting
        case idle
        /// Nil when nobody waits for the result any more.
        case busy(CallID?)
        /// It was killed or dismissed, and has not ended.
        case leaving
    }

    private struct Worker {
        var phase: Phase
        /// We have ended it ourselves: that is no sign of trouble.
        var isOurDoing = false
        var saidHello = false
        /// The one in its place is counted in `owedCount`, or has been started.
        var isOwed = false
    }

    private let limits: Limits
    private var workers: [WorkerID: Worker] = [:]
    /// The one that worked last is the first to work again: its memory is in the caches.
    private var idle: [WorkerID] = []
    private var queue = CallQueue()
    private var running: [CallID: WorkerID] = [:]
    private var lastWorker: WorkerID = 0
    private var isClosing = false

    /// The workers that have ended and are still to be replaced.
    private var owedCount = 0
    private var startTrouble = Trouble()
    private var workTrouble = Trouble()
    /// No worker is started before, in nanoseconds.
    private var startsFrom: UInt64 = 0
    private(set) var isResting = false
    private var isWakeAsked = false

    private(set) var callCount: UInt64 = 0
    private(set) var deathCount: UInt64 = 0
    private(set) var replacementCount: UInt64 = 0

    init(_ limits: Limits) { self.limits = limits }

    var queueDepth: Int { queue.count }
    var busyCount: Int {
        workers.values.count { if case .busy = $0.phase { true } else { false } }
    }
    /// Those that may still work.
    var workerCount: Int { workers.values.count { $0.phase != .leaving } }
    /// All that have not ended.
    var presentCount: Int { workers.count }

    // MARK: Calls

    mutating func submit(_ call: CallID, now: UInt64) -> [Action] {
        callCount &+= 1
        if isClosing { return [.refuse(call, .closed)] }
        if isResting, now < startsFrom, workerCount == 0 { return [.refuse(call, .resting)] }
        guard queue.count < limits.queueLimit else { return [.refuse(call, .queueFull)] }
        queue.append(call)
        return dispatch(now)
    }

    mutating func cancel(_ call: CallID, now: UInt64) -> [Action] {
        drop(call, .cancelled, killing: limits.killsCancelled, now)
    }

    mutating func timeIsUp(_ call: CallID, now: UInt64) -> [Action] {
        drop(call, .timedOut, killing: true, now)
    }

    private mutating func drop(
        _ call: CallID,
        _ refusal: Refusal,
        killing: Bool,
        _ now: UInt64
    ) -> [Action] {
        if queue.remove(call) { return [.refuse(call, refusal)] }
        guard let worker = running.removeValue(forKey: call) else { return [] }
        guard killing else {
            workers[worker]?.phase = .busy(nil)
            return [.refuse(call, refusal)]
        }
        owe(worker)
        return [.refuse(call, refusal)] + kill(worker) + dispatch(now)
    }

    // MARK: Workers

    mutating func saidHello(_ worker: WorkerID, now: UInt64) -> [Action] {
        guard workers[worker]?.phase == .starting else { return [] }
        workers[worker]?.saidHello = true
        workers[worker]?.phase = .idle
        startTrouble = Trouble()
        if workTrouble.isEmpty { endRest() }
        if isClosing { return dismiss(worker) }
        idle.append(worker)
        return dispatch(now)
    }

    /// The call that a result of this worker answers; nil for one that nobody waits for.
    mutating func answered(_ worker: WorkerID, now: UInt64) -> (call: CallID?, actions: [Action]) {
        guard case .busy(let call) = workers[worker]?.phase else { return (nil, []) }
        if let call { running[call] = nil }
        workers[worker]?.phase = .idle
        // Calls do end with results, so the deaths so far were those of single calls.
        workTrouble = Trouble()
        if startTrouble.isEmpty { endRest() }
        if isClosing { return (call, dismiss(worker)) }
        idle.append(worker)
        return (call, dispatch(now))
    }

    /// What it says is nothing that a worker says.
    mutating func talkedNonsense(_ worker: WorkerID) -> [Action] {
        guard workers[worker] != nil else { return [] }
        return kill(worker, isOurDoing: false)
    }

    /// It did not say hello in time.
    mutating func helloIsOverdue(_ worker: WorkerID) -> [Action] {
        guard workers[worker]?.phase == .starting else { return [] }
        // It stays a start that failed.
        return [.kill(worker)]
    }

    /// Its process has ended, or could not be started at all.
    ///
    /// A start that failed and is hopeless would fail again: those who wait are told, if no other
    /// worker is there.
    mutating func ended(_ id: WorkerID, isHopeless: Bool = false, now: UInt64) -> [Action] {
        owe(id)
        guard let worker = workers.removeValue(forKey: id) else { return [] }
        idle.removeAll { $0 == id }
        var actions: [Action] = []
        if case .busy(let call?) = worker.phase {
            running[call] = nil
            actions.append(.fail(call, id))
        }
        if isClosing {
            if workers.isEmpty { actions.append(.closed) }
            return actions
        }
        deathCount &+= 1
        let isFailedStart = !worker.saidHello
        if !worker.isOurDoing { actions += note(isFailedStart: isFailedStart, now) }
        let isLost = isFailedStart && isHopeless
        if workerCount == 0, isLost || isResting && now < startsFrom {
            let refusal = isLost ? Refusal.startFailed : .resting
            actions += queue.removeAll().map { .refuse($0, refusal) }
        }
        return actions + dispatch(now)
    }

    private mutating func note(isFailedStart: Bool, _ now: UInt64) -> [Action] {
        let pause =
            isFailedStart ? startTrouble.note(at: now) : workTrouble.note(at: now)
        guard pause > 0 else { return [] }
        startsFrom = max(startsFrom, now &+ pause)
        guard pause >= Trouble.shortestRest else { return [] }
        isResting = true
        return [.rest(until: startsFrom)]
    }

    private mutating func owe(_ worker: WorkerID) {
        guard workers[worker]?.isOwed == false, !isClosing else { return }
        workers[worker]?.isOwed = true
        owedCount += 1
    }

    private mutating func endRest() {
        isResting = false
        startsFrom = 0
    }

    mutating func timeHasCome(now: UInt64) -> [Action] {
        isWakeAsked = false
        return dispatch(now)
    }

    // MARK: The end

    /// Takes no more calls, and has every worker go; `.closed` follows.
    mutating func close(now: UInt64) -> [Action] {
        guard !isClosing else { return [] }
        isClosing = true
        var actions: [Action] = queue.removeAll().map { .refuse($0, .closed) }
        for call in running.keys.sorted() { actions.append(.refuse(call, .closed)) }
        running = [:]
        for (id, worker) in workers.sorted(by: { $0.key < $1.key }) {
            switch worker.phase {
            case .idle: actions += dismiss(id)
            case .starting, .busy: actions += kill(id)
            case .leaving: break
            }
        }
        idle = []
        return actions + (workers.isEmpty ? [.closed] : [])
    }

    // MARK: Steps

    private mutating func dispatch(_ now: UInt64) -> [Action] {
        var actions: [Action] = []
        while let worker = idle.last, let call = queue.popFirst() {
            idle.removeLast()
            workers[worker]?.phase = .busy(call)
            running[call] = worker
            actions.append(.give(call, worker))
        }
        return actions + start(now)
    }

    /// Starts what is owed, and one for each call that no worker on its way will take.
    private mutating func start(_ now: UInt64) -> [Action] {
        let startingCount = workers.values.count { $0.phase == .starting }
        let wanted = max(owedCount, queue.count - startingCount)
        let startCount = min(wanted, limits.workerCount - workerCount)
        guard startCount > 0, !isClosing else { return [] }
        guard now >= startsFrom else {
            guard !isWakeAsked else { return [] }
            isWakeAsked = true
            return [.wake(at: startsFrom)]
        }
        // After trouble one goes ahead, and says whether the others may follow.
        let isTrial = isResting || !startTrouble.isEmpty
        if isTrial, startingCount > 0 { return [] }
        var actions: [Action] = []
        for _ in 0..<(isTrial ? 1 : startCount) {
            lastWorker += 1
            workers[lastWorker] = Worker(phase: .starting)
            if owedCount > 0 {
                owedCount -= 1
                replacementCount &+= 1
            }
            actions.append(.start(lastWorker))
        }
        return actions
    }

    private mutating func kill(_ worker: WorkerID, isOurDoing: Bool = true) -> [Action] {
        let phase = leavingPhase(of: worker)
        workers[worker]?.phase = phase
        workers[worker]?.isOurDoing = isOurDoing
        idle.removeAll { $0 == worker }
        return [.kill(worker)]
    }

    /// One that still owes an answer fails it by its end.
    private func leavingPhase(of worker: WorkerID) -> Phase {
        if case .busy(let call?) = workers[worker]?.phase, running[call] == worker {
            return .busy(call)
        }
        return .leaving
    }

    private mutating func dismiss(_ worker: WorkerID) -> [Action] {
        workers[worker]?.phase = .leaving
        return [.dismiss(worker)]
    }
}
