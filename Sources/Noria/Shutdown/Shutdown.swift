// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaEngine
internal import NoriaSystem

/// The end of a runtime: asked for, watched, joined.
///
/// On a request the drainables are drained, the last registered first; then the body has a short
/// time to return before it is cancelled. At two later points of the one deadline the tasks are
/// cancelled and the drainables aborted, and at the deadline a thread of its own ends the process.
/// An embedded runtime's process is not its own: there the thread says what has not ended, and the
/// runtime waits on for it.
public final class Shutdown: Sendable {
    /// How far the end has come.
    @nonexhaustive
    public enum Phase: String, Codable, Comparable, Sendable {
        /// Nobody has asked.
        case running
        /// Asked for, and everything goes on for `ShutdownPolicy.grace`.
        case notReady
        /// Streams end after the message in hand.
        case draining
        /// Tasks are cancelled.
        case cancelling
        /// What is left is cut off.
        case closing
        /// It is over.
        case ended

        private var order: Int {
            switch self {
            case .running: 0
            case .notReady: 1
            case .draining: 2
            case .cancelling: 3
            case .closing: 4
            case .ended: 5
            }
        }

        /// Earlier phases are less.
        public static func < (left: Self, right: Self) -> Bool { left.order < right.order }
    }

    struct State {
        var phase = Phase.running
        /// When each phase began that is between the first and the last.
        var begins: [(phase: Phase, moment: UInt64)] = []
        var reason = ""
        var drainables: [(name: String, drainable: any Drainable)] = []
        var waiters: [UInt64: UnsafeContinuation<Bool, Never>] = [:]
        var lastWaiter: UInt64 = 0
        var drained: [String] = []
        var cancelled: [String] = []
        var onRequest: (@Sendable () -> Void)?
        var cancelTasks: (@Sendable () -> [String])?
        var cancelLater: (@Sendable () -> [String])?
        /// What names those that have not ended.
        var unended: (@Sendable () -> [String])?
        /// What failed on the way.
        var errors: [String] = []
        /// The deadline's threads, and what they wait for.
        var deadline: (threads: [Thread.Joinable], ended: Int32)?

        /// Notes when a phase of the course begins.
        mutating func enter(_ phase: Phase) {
            self.phase = phase
            begins.append((phase, MonotonicClock.now))
        }
    }

    let state = Guarded(State())
    private let loop: EventLoop
    let policy: ShutdownPolicy
    let logger: Logger
    let log: LogQueue
    let endsProcess: Bool

    init(
        loop: EventLoop,
        policy: ShutdownPolicy,
        endsProcess: Bool,
        logger: Logger,
        log: LogQueue
    ) {
        self.loop = loop
        self.policy = policy
        self.endsProcess = endsProcess
        self.logger = logger
        self.log = log
    }

    /// How far the end has come.
    ///
    /// Any thread.
    public var phase: Phase { state.withLock { $0.phase } }

    /// Begins the end; later requests change nothing.
    ///
    /// Any thread.
    public func request(reason: String) {
        let told: ([UnsafeContinuation<Bool, Never>], (@Sendable () -> Void)?)?
        told = state.withLock { state in
            guard state.phase == .running else { return nil }
            state.enter(policy.grace > .zero ? .notReady : .draining)
            state.reason = reason
            defer { state.waiters = [:] }
            return (Array(state.waiters.values), state.onRequest)
        }
        guard let (waiters, action) = told else { return }
        // First, and here: no loop may ever come to it.
        armDeadline()
        for waiter in waiters { waiter.resume(returning: true) }
        action?()
        loop.perform { self.begin(reason) }
    }

    /// Waits until the end has been asked for.
    ///
    /// - Throws: `CancellationError`.
    public func requested() async throws {
        let id = state.withLock { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
        let wasRequested = await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                let isOver = state.withLock { state in
                    if state.phase == .running, !Task.isCancelled {
                        state.waiters[id] = continuation
                        return false
                    }
                    return true
                }
                if isOver { continuation.resume(returning: !Task.isCancelled) }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: id) }?.resume(returning: false)
        }
        if !wasRequested { throw CancellationError() }
    }

    /// Has something drained with the rest, the last registered first.
    ///
    /// Any thread.
    public func register(_ drainable: any Drainable, name: String) {
        state.withLock { $0.drainables.append((name, drainable)) }
    }

    /// The same, but drained when everything else has been: what the others work with.
    func register(below drainable: any Drainable, name: String) {
        state.withLock { $0.drainables.insert((name, drainable), at: 0) }
    }

    // MARK: The course of it

    /// What is done when the end is asked for, on the thread that asks.
    func onRequest(_ action: @escaping @Sendable () -> Void) {
        state.withLock { $0.onRequest = action }
    }

    /// What cancels the tasks, and names those that it met.
    func onCancel(_ action: @escaping @Sendable () -> [String]) {
        state.withLock { $0.cancelTasks = action }
    }

    /// What cancels those that may be there to end others in order, and so have a while for it.
    func onLateCancel(_ action: @escaping @Sendable () -> [String]) {
        state.withLock { $0.cancelLater = action }
    }

    /// What the tasks that the deadline has not seen end are called.
    func onDeadline(_ unended: @escaping @Sendable () -> [String]) {
        state.withLock { $0.unended = unended }
    }

    /// Says why it ends when nobody asks for the end.
    func bodyEnded(_ reason: String) {
        state.withLock { if $0.phase == .running { $0.reason = reason } }
    }

    private func begin(_ reason: String) {
        let steps = ShutdownSteps(self)
        let asked = state.withLock { $0.begins.first?.moment } ?? MonotonicClock.now
        var budgets = [(Step.cancel, policy.drainBudget), (.abort, policy.cancelBudget)]
        if policy.grace > .zero { budgets.append((.drain, policy.grace)) }
        for (step, budget) in budgets {
            _ = loop.timers.add(
                deadline: asked &+ UInt64(budget.nanoseconds),
                owner: steps,
                context: step.rawValue
            )
        }
        guard policy.grace > .zero else { return drain() }
        logger.info("shutdown: \(reason); not ready, and going on for \(policy.grace)")
    }

    /// Loop thread only.
    private func drain() {
        let (reason, asked) = state.withLock { state in
            if state.phase == .notReady { state.enter(.draining) }
            return (state.reason, state.begins.first?.moment ?? MonotonicClock.now)
        }
        logger.info("shutdown: \(reason); draining, \(policy.deadline) at most")
        let passed = Duration.nanoseconds(Int64(clamping: MonotonicClock.now &- asked))
        let start = ContinuousClock.now - passed
        let steps = ShutdownSteps(self)
        TaskHook.beginOwn()
        defer { TaskHook.endOwn() }
        Task(name: "noria drain", executorPreference: loop.taskExecutor) { [self] in
            let drainables = state.withLock { $0.drainables }
            for (name, drainable) in drainables.reversed() {
                await drainable.drain(until: start + policy.drainBudget)
                state.withLock { $0.drained.append(name) }
            }
            // The streams have ended: the body has what is left of a short time to return.
            let settled = MonotonicClock.now &+ UInt64(policy.settleTime.nanoseconds)
            loop.perform { [loop] in
                _ = loop.timers.add(
                    deadline: settled,
                    owner: steps,
                    context: Step.cancel.rawValue
                )
            }
        }
    }

    fileprivate enum Step: UInt { case drain, cancel, cancelLater, abort }

    fileprivate func take(_ step: Step) {
        switch step {
        case .drain: if phase == .notReady { drain() }
        case .cancel: cancel()
        case .cancelLater:
            if let names = state.withLock({ $0.cancelLater })?() { noteCancelled(names) }
        case .abort:
            guard advance(to: .closing) else { return }
            for (_, drainable) in state.withLock({ $0.drainables }) { drainable.abort() }
        }
    }

    /// Cancels the body with every task under it, and the spawned tasks.
    ///
    /// Any thread.
    func cancel() {
        guard advance(to: .cancelling) else { return }
        if let names = state.withLock({ $0.cancelTasks })?() { noteCancelled(names) }
        loop.perform { [self] in
            _ = loop.timers.add(
                deadline: MonotonicClock.now &+ UInt64(policy.lateCancelDelay.nanoseconds),
                owner: ShutdownSteps(self),
                context: Step.cancelLater.rawValue
            )
        }
    }

    /// Has a report name what failed on the way.
    ///
    /// Any thread.
    func noteFailed(_ text: String) { state.withLock { $0.errors.append(text) } }

    /// Has a report name what was cancelled when all else had ended.
    func noteCancelled(_ names: [String]) {
        guard !names.isEmpty else { return }
        state.withLock { $0.cancelled += names }
        logger.info("shutdown: cancelling \(names.joined(separator: ", "))")
    }

    private func advance(to phase: Phase) -> Bool {
        state.withLock { state in
            guard state.phase < phase else { return false }
            state.enter(phase)
            return true
        }
    }

    /// Lets go of what was registered and still stands open: a listener that nobody served.
    ///
    /// Loop thread only.
    func closeLeftovers(_ watch: DebugWatch?) {
        let (drainables, drained) = state.withLock { ($0.drainables, $0.drained) }
        for (name, drainable) in drainables where !drained.contains(name) {
            if let watch, let leftover = drainable as? any Closable, !leftover.isClosed {
                watch.noteUnclosed(name, openedAt: leftover.openedAt)
            }
            drainable.abort()
        }
    }

    func end(_ exitCode: ExitCode, _ uncaughtErrors: UncaughtErrorCounts) -> ShutdownReport {
        let report = state.withLock { $0.report(exitCode, uncaughtErrors, abandoned: []) }
        // Under the deadline still: a disk may not answer.
        report.write(to: policy.reportPath, logger)
        let deadline = state.withLock { state in
            state.phase = .ended
            state.onRequest = nil
            state.cancelTasks = nil
            state.cancelLater = nil
            state.unended = nil
            state.drainables = []
            return state.deadline.take()
        }
        if let (threads, ended) = deadline { Self.end(threads, ended) }
        return report
    }
}

/// The timers of a shutdown.
private final class ShutdownSteps: TimerOwner, Sendable {
    private let shutdown: Shutdown
    init(_ shutdown: Shutdown) { self.shutdown = shutdown }

    func timerFired(_ context: UInt) {
        guard let step = Shutdown.Step(rawValue: context) else { return }
        shutdown.take(step)
    }
}
