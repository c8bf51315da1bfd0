// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaEngine
internal import NoriaSystem
internal import Synchronization

/// The end of a runtime: asked for, watched, joined.
///
/// On a request the drainables are drained, the last registered first; then the body has a short
/// time to return before it is cancelled. At two later points of the one deadline the tasks are
/// cancelled and the drainables aborted, and at the deadline a thread of its own ends the process.
public final class Shutdown: Sendable {
    /// How far the end has come.
    @nonexhaustive
    public enum Phase: String, Codable, Comparable, Sendable {
        /// Nobody has asked.
        case running
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
            case .draining: 1
            case .cancelling: 2
            case .closing: 3
            case .ended: 4
            }
        }

        /// Earlier phases are less.
        public static func < (left: Self, right: Self) -> Bool { left.order < right.order }
    }

    private struct State {
        var phase = Phase.running
        var reason = "the body returned"
        var drainables: [(name: String, drainable: any Drainable)] = []
        var waiters: [UInt64: UnsafeContinuation<Bool, Never>] = [:]
        var lastWaiter: UInt64 = 0
        var drained: [String] = []
        var cancelled: [String] = []
        var onRequest: (@Sendable () -> Void)?
        var cancelTasks: (@Sendable () -> [String])?
        /// What the deadline's thread waits for; it closes it.
        var endedEvent: Int32?
    }

    private let state = Mutex(State())
    private let loop: EventLoop
    private let policy: ShutdownPolicy
    private let logger: Logger

    init(loop: EventLoop, policy: ShutdownPolicy, logger: Logger) {
        self.loop = loop
        self.policy = policy
        self.logger = logger
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
            state.phase = .draining
            state.reason = reason
            defer { state.waiters = [:] }
            return (Array(state.waiters.values), state.onRequest)
        }
        guard let (waiters, action) = told else { return }
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

    // MARK: The course of it

    /// What is done when the end is asked for, on the thread that asks.
    func onRequest(_ action: @escaping @Sendable () -> Void) {
        state.withLock { $0.onRequest = action }
    }

    /// What cancels the tasks, and names those that it met.
    func onCancel(_ action: @escaping @Sendable () -> [String]) {
        state.withLock { $0.cancelTasks = action }
    }

    private func begin(_ reason: String) {
        logger.info("shutdown: \(reason); draining, \(policy.deadline) at most")
        armDeadline()
        let start = ContinuousClock.now
        let steps = ShutdownSteps(self)
        let now = MonotonicClock.now
        for (step, budget) in [(Step.cancel, policy.drainBudget), (.abort, policy.cancelBudget)] {
            _ = loop.timers.add(
                deadline: now &+ UInt64(budget.nanoseconds),
                owner: steps,
                context: step.rawValue
            )
        }
        Task(name: "noria drain") {
            let drainables = state.withLock { $0.drainables }
            for (name, drainable) in drainables.reversed() {
                await drainable.drain(until: start + policy.drainBudget)
                state.withLock { $0.drained.append(name) }
            }
            // The streams have ended: the body has what is left of a short time to return.
            _ = loop.timers.add(
                deadline: MonotonicClock.now &+ UInt64(policy.settleTime.nanoseconds),
                owner: steps,
                context: Step.cancel.rawValue
            )
        }
    }

    fileprivate enum Step: UInt { case cancel, abort }

    fileprivate func take(_ step: Step) {
        switch step {
        case .cancel: cancel()
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
        guard let names = state.withLock({ $0.cancelTasks })?(), !names.isEmpty else { return }
        state.withLock { $0.cancelled += names }
        logger.info("shutdown: cancelling \(names.joined(separator: ", "))")
    }

    private func advance(to phase: Phase) -> Bool {
        state.withLock { state in
            guard state.phase < phase else { return false }
            state.phase = phase
            return true
        }
    }

    /// A thread that nothing here can block ends the process at the deadline; told that all has
    /// ended it goes.
    private func armDeadline() {
        let length = policy.deadline
        // Without a descriptor left the thread is not told, and sleeps until the deadline.
        let ended = try? Descriptor.event()
        state.withLock { $0.endedEvent = ended }
        do {
            try Thread.start { [weak self] in
                if let ended {
                    _ = Descriptor.waits(ended, nanoseconds: length.nanoseconds)
                } else {
                    Thread.sleep(nanoseconds: length.nanoseconds)
                }
                // `end` has signalled before anyone can see its phase: the event is this thread's.
                guard let self, self.phase != .ended else {
                    if let ended { Descriptor.close(ended) }
                    return
                }
                Thread.write(
                    "noria: not ended \(length) after the shutdown was asked for; abandoned\n",
                    to: 2
                )
                Thread.exitProcess(ExitCode.abandoned.rawValue)
            }
        } catch {
            logger.error("shutdown: no thread to keep the deadline: \(error)")
            if let ended = state.withLock({ $0.endedEvent.take() }) { Descriptor.close(ended) }
        }
    }

    /// Lets go of what was registered and still stands open: a listener that nobody served.
    ///
    /// Loop thread only.
    func closeLeftovers() {
        let (drainables, drained) = state.withLock { ($0.drainables, $0.drained) }
        for (name, drainable) in drainables where !drained.contains(name) { drainable.abort() }
    }

    func end(exitCode: ExitCode) -> ShutdownReport {
        state.withLock { state in
            state.phase = .ended
            state.onRequest = nil
            state.cancelTasks = nil
            state.drainables = []
            if let event = state.endedEvent.take() { Descriptor.signalEvent(event) }
            return ShutdownReport(
                reason: state.reason,
                exitCode: exitCode,
                drained: state.drained,
                cancelled: state.cancelled
            )
        }
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
