// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaEngine
internal import NoriaSystem

/// The end of a runtime: asked for, watched, joined.
///
/// `ShutdownState` has its course. On a request the drainables are drained, the last registered first; then the body has a short
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
        var course: ShutdownState
        var reason = ""
        /// The last is drained first.
        var drainables: [Registered] = []
        var drained: [String] = []
        var cancelled: [String] = []
        var actions = Actions()
        /// What failed on the way.
        var errors: [String] = []
        /// The deadline's threads, and what they wait for.
        var deadline: (threads: [Thread.Joinable], ended: Int32)?
    }

    struct Registered {
        let name: String
        let drainable: any Drainable
        var progress = Progress.waiting
        enum Progress { case waiting, draining, drained }
    }

    /// What a runtime has done on the way; any of them on any thread.
    struct Actions: Sendable {
        /// When the end is asked for, on the thread that asks.
        var onRequest: [@Sendable () -> Void] = []
        /// Names the tasks that `cancelTasks` cancels.
        var cancellable: (@Sendable () -> [String])?
        var cancelTasks: (@Sendable () -> Void)?
        /// Cancels those that may be there to end others in order, and so have a while for it.
        var cancelLate: (@Sendable () -> [String])?
        /// Names those that have not ended.
        var unended: (@Sendable () -> [String])?
        /// Says in a few words how much there is left.
        var left: (@Sendable () -> String)?
    }

    let state: Guarded<State>
    private let wasRequested = Milestone()
    private let hasDrained = Milestone()
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
        state = Guarded(State(course: ShutdownState(policy)))
        self.loop = loop
        self.policy = policy
        self.endsProcess = endsProcess
        self.logger = logger
        self.log = log
    }

    /// How far the end has come.
    ///
    /// Any thread.
    public var phase: Phase { state.withLock { $0.course.phase } }

    /// Begins the end; later requests change nothing.
    ///
    /// Any thread.
    public func request(reason: String) {
        let effects = state.withLock { state in
            let effects = state.course.request(now: MonotonicClock.now)
            if !effects.isEmpty { state.reason = reason }
            return effects
        }
        perform(effects)
    }

    /// Waits until the end has been asked for.
    ///
    /// - Throws: `CancellationError`.
    public func requested() async throws { try await wasRequested.wait() }

    /// Waits until all that is registered has drained, or has been cut off.
    ///
    /// - Throws: `CancellationError`.
    func drained() async throws { try await hasDrained.wait() }

    /// The same for one who has nothing else to do, if a shutdown has begun and something drains:
    /// channels of SwiftNIO's go on when the body has returned.
    func waitForDrain() async {
        let isDraining = state.withLock { state in
            state.course.phase != .running && !state.drainables.isEmpty
        }
        if isDraining { try? await hasDrained.wait() }
    }

    /// Has something drained with the rest, the last registered first.
    ///
    /// Any thread.
    public func register(_ drainable: any Drainable, name: String) {
        if ServiceScope.isInService { return register(below: drainable, name: name) }
        state.withLock { $0.drainables.append(Registered(name: name, drainable: drainable)) }
    }

    /// The same, but drained when everything else has been: what the others work with.
    func register(below drainable: any Drainable, name: String) {
        state.withLock { state in
            state.drainables.insert(Registered(name: name, drainable: drainable), at: 0)
        }
    }

    // MARK: The course of it

    /// Has a runtime's own actions done on the way.
    func on(_ change: @Sendable (inout Actions) -> Void) {
        state.withLock { change(&$0.actions) }
    }

    /// Says why it ends when nobody asks for the end.
    func bodyEnded(_ reason: String) {
        state.withLock { if $0.course.phase == .running { $0.reason = reason } }
    }

    /// A further signal: tasks are cancelled at once, and connections cut off soon.
    ///
    /// Any thread.
    func cutShort() { take(.furtherSignal) }

    fileprivate func take(_ event: ShutdownState.Event) {
        perform(state.withLock { $0.course.take(event, now: MonotonicClock.now) })
    }

    /// Does what has to be done, here where no loop may ever come to it.
    private func perform(_ effects: [ShutdownState.Effect]) {
        for effect in effects {
            switch effect {
            case .announce: announce()
            case .drain: loop.perform { self.drain() }
            case .cancel:
                // Said first: on a further signal the run may be over before this thread goes on.
                let actions = state.withLock { $0.actions }
                noteCancelled(actions.cancellable?() ?? [])
                actions.cancelTasks?()
            case .cancelLate:
                noteCancelled(state.withLock { $0.actions.cancelLate }?() ?? [])
            case .abort:
                logger.info("shutdown: closing what is left: \(left)")
                for each in state.withLock({ $0.drainables }) { each.drainable.abort() }
                hasDrained.reach()
            case .timer(let event, let moment):
                loop.perform { [self, loop] in
                    let steps = ShutdownSteps(self)
                    _ = loop.timers.add(deadline: moment, owner: steps, context: event.rawValue)
                }
            }
        }
    }

    private func announce() {
        armDeadline()
        wasRequested.reach()
        let (actions, reason) = state.withLock { ($0.actions.onRequest, $0.reason) }
        for action in actions { action() }
        guard policy.grace > .zero else { return }
        logger.info("shutdown: \(reason); not ready, and going on for \(policy.grace); \(left)")
    }

    /// Loop thread only.
    private func drain() {
        let (reason, asked, phase) = state.withLock {
            ($0.reason, $0.course.asked, $0.course.phase)
        }
        if phase == .draining {
            logger.info("shutdown: \(reason); draining, \(policy.deadline) at most; \(left)")
        }
        let start = ContinuousClock.now - Self.time(since: asked)
        TaskHook.beginOwn()
        defer { TaskHook.endOwn() }
        Task(name: "noria drain", executorPreference: loop.taskExecutor) { [self] in
            // Those that are registered meanwhile, too.
            while let next = nextToDrain() {
                let began = MonotonicClock.now
                await next.drain(until: start + policy.drainBudget)
                let name = noteDrained()
                let length = Self.time(since: began).milliseconds
                logger.info("shutdown: \(name) drained in \(length) ms")
            }
            if self.phase == .draining {
                let length = Self.time(since: asked).milliseconds
                logger.info(
                    "shutdown: all drained after \(length) ms; \(policy.settleTime) for the rest; \(left)"
                )
            }
            hasDrained.reach()
            // The streams have ended: the body has what is left of a short time to return.
            take(.allHaveDrained)
        }
    }

    private func nextToDrain() -> (any Drainable)? {
        state.withLock { state in
            guard let index = state.drainables.lastIndex(where: { $0.progress == .waiting })
            else { return nil }
            state.drainables[index].progress = .draining
            return state.drainables[index].drainable
        }
    }

    /// The one that drained has: its name.
    private func noteDrained() -> String {
        state.withLock { state in
            guard let index = state.drainables.firstIndex(where: { $0.progress == .draining })
            else { return "" }
            state.drainables[index].progress = .drained
            state.drained.append(state.drainables[index].name)
            return state.drainables[index].name
        }
    }

    static func time(since moment: UInt64) -> Duration {
        .nanoseconds(Int64(clamping: MonotonicClock.now &- moment))
    }

    private var left: String { state.withLock { $0.actions.left }?() ?? "" }

    /// Has the log name a service that has ended.
    func noteServiceEnded(_ name: String) {
        let (phase, asked) = state.withLock { ($0.course.phase, $0.course.asked) }
        guard phase != .running else { return }
        let length = Self.time(since: asked).milliseconds
        logger.info("shutdown: \(name) ended \(length) ms after the request")
    }

    /// Has a report name what failed on the way.
    ///
    /// Any thread.
    func noteFailed(_ text: String) { state.withLock { $0.errors.append(text) } }

    /// Has a report name what was cancelled, and the log what was left then.
    func noteCancelled(_ names: [String]) {
        guard !names.isEmpty else { return }
        state.withLock { $0.cancelled += names }
        let more = names.count > 20 ? " and \(names.count - 20) more" : ""
        logger.info(
            "shutdown: cancelling \(names.prefix(20).joined(separator: ", "))\(more); \(left)"
        )
    }

    /// What is registered and has not drained: its parts that have not, where it names them.
    var undrained: [String] {
        state.withLock { $0.drainables }.filter { $0.progress != .drained }
            .flatMap { ($0.drainable as? any DrainsInParts)?.undrained ?? [] }
    }

    /// Lets go of what was registered and still stands open: a listener that nobody served.
    ///
    /// Loop thread only.
    func closeLeftovers(_ watch: DebugWatch?) {
        for each in state.withLock({ $0.drainables }) where each.progress != .drained {
            if let watch, let leftover = each.drainable as? any Closable, !leftover.isClosed {
                watch.noteUnclosed(each.name, openedAt: leftover.openedAt)
            }
            each.drainable.abort()
        }
    }

    func end(_ exitCode: ExitCode, _ uncaughtErrors: UncaughtErrorCounts) -> ShutdownReport {
        let report = state.withLock { $0.report(exitCode, uncaughtErrors, abandoned: []) }
        // Under the deadline still: a disk may not answer.
        report.write(to: policy.reportPath, logger)
        let deadline = state.withLock { state in
            state.course.end()
            state.actions = Actions()
            state.drainables = []
            return state.deadline.take()
        }
        if let (threads, ended) = deadline { Self.end(threads, ended) }
        hasDrained.reach()
        return report
    }
}

/// The timers of a shutdown.
private final class ShutdownSteps: TimerOwner, Sendable {
    private let shutdown: Shutdown
    init(_ shutdown: Shutdown) { self.shutdown = shutdown }

    func timerFired(_ context: UInt) {
        guard let event = ShutdownState.Event(rawValue: context) else { return }
        shutdown.take(event)
    }
}
