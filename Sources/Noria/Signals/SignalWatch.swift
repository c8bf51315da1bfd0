// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaEngine
internal import NoriaSystem
internal import Synchronization
internal import SystemPackage

/// The signals of one run: those that begin its shutdown, and those that somebody asks for.
///
/// A plain thread takes them, so that a loop in a job that never ends does not keep the shutdown from
/// its beginning, nor its deadline from running.
///
/// A signal is caught while it has a use, and its old disposition stands again afterwards; when the
/// run ends, all do. Catching works for the whole process at once, on the caller's thread; the mask
/// belongs to a thread, and it is the main loop's that is to take the signals.
final class SignalWatch: Sendable {
    fileprivate struct State: ~Copyable {
        var inbox: SignalInbox?
        var router = SignalRouter()
        /// How many want a signal: the shutdown counts as one.
        var useCounts: [Signal: Int] = [:]
        var subscriptions: [UInt64: (signals: [Signal], mailbox: SignalMailbox)] = [:]
        var lastSubscription: UInt64 = 0
        /// SIGUSR1 has the live tasks logged while nobody else asks for it.
        var listsTasks = false
        /// The shutdown has begun: what is caught stays so until the end of the run.
        var isFinished = false
        /// The signal that cut the shutdown short.
        var deadly: Signal?
        /// Those that were asked for and could not be caught.
        var failures: [String] = []
        /// Who takes them, and what the handler rings; nil when there was no thread for it.
        var taker: (thread: Thread.Joinable, bell: Int32)?
    }

    private let loop: EventLoop
    private let shutdownSignals: Set<Signal>
    private let logger: Logger
    private let state = Mutex(State())

    init(loop: EventLoop, shutdownSignals: Set<Signal>, logger: Logger) {
        self.loop = loop
        self.shutdownSignals = shutdownSignals
        self.logger = logger
    }

    /// The signal that cut the shutdown short: the process ends by it.
    var deadly: Signal? { state.withLock { $0.deadly } }

    /// Why a signal that begins the shutdown does not; nil when each does.
    var failure: String? {
        state.withLock { state in
            state.failures.isEmpty ? nil : state.failures.joined(separator: "; ")
        }
    }

    // MARK: The run

    /// Loop thread only.
    func begin(_ runtime: Runtime) {
        let shutdown = runtime.shutdown
        let listsTasks = runtime.configuration.diagnostics.tracksTasks
        let bell = startTaker(runtime)
        state.withLock { state in
            state.inbox = SignalInbox(wakeup: bell ?? loop.wakeup.descriptor)
            do throws(Errno) {
                try state.inbox?.ignore(Signal.brokenPipe.rawValue)
            } catch { state.failures.append("\(Signal.brokenPipe): \(error)") }
            for signal in shutdownSignals {
                if let reason = state.use(signal) { state.failures.append("\(signal): \(reason)") }
            }
            // Whoever has a use for it, or has it ignored, keeps it.
            if listsTasks, SignalInbox.isDefault(Signal.user1.rawValue) {
                state.listsTasks = state.use(.user1) == nil
            }
            state.inbox?.unblock()
        }
        if let failure { logger.error("signals: not caught: \(failure)") }
        if bell == nil { loop.onRouse { [self] in take(runtime) } }
        shutdown.on { $0.onRequest.append { [weak self] in self?.finish() } }
    }

    /// Loop thread only.
    func end() {
        finish()
        loop.onRouse(nil)
        let taker = state.withLock { state in
            // No handler rings from here on.
            state.inbox?.restore()
            state.inbox = nil
            state.subscriptions = [:]
            return state.taker.take()
        }
        guard let (thread, bell) = taker else { return }
        Descriptor.signalEvent(bell)
        thread.join()
        Descriptor.close(bell)
    }

    /// Starts the thread that takes the signals: what rings for it, or nil when the loop has to.
    private func startTaker(_ runtime: Runtime) -> Int32? {
        guard let bell = try? Descriptor.event() else { return nil }
        do throws(Errno) {
            let thread = try Thread.startJoinable { [self] in
                Thread.name("noria signals")
                while true {
                    while !Descriptor.waits(bell, nanoseconds: .max) {}
                    Descriptor.clearEvent(bell)
                    if state.withLock({ $0.taker == nil }) { return }
                    take(runtime)
                }
            }
            state.withLock { $0.taker = (thread, bell) }
            return bell
        } catch {
            Descriptor.close(bell)
            logger.warning("signals: no thread to take them: \(error); loop 0 takes them")
            return nil
        }
    }

    /// Ends every sequence, and each that is still to come.
    private func finish() {
        let mailboxes = state.withLock { state in
            state.isFinished = true
            return state.subscriptions.values.map(\.mailbox)
        }
        for mailbox in mailboxes { mailbox.finish() }
    }

    private func take(_ runtime: Runtime) {
        let shutdown = runtime.shutdown
        for number in SignalInbox.take() {
            let signal = Signal(rawValue: number)
            let (mailboxes, action, lists) = state.withLock { state in
                let mailboxes = state.subscriptions.values.filter { $0.signals.contains(signal) }
                let isOurs = shutdownSignals.contains(signal)
                let action =
                    isOurs ? state.router.route(signal, now: MonotonicClock.now) : .none
                if case .cancel(let signal) = action { state.deadly = signal }
                let lists = signal == .user1 && state.listsTasks && mailboxes.isEmpty && !isOurs
                return (mailboxes.map(\.mailbox), action, lists)
            }
            if lists { runtime.logTasks() }
            for mailbox in mailboxes { mailbox.deliver(signal) }
            switch action {
            case .begin: shutdown.request(reason: "\(signal)")
            case .cancel: shutdown.cutShort()
            case .end: SignalInbox.endProcess(by: number)
            case .none: break
            }
        }
    }

    // MARK: Subscriptions

    /// Any thread.
    func subscribe(_ signals: [Signal]) -> SignalSubscription {
        let mailbox = SignalMailbox()
        var refusals: [String] = []
        let id = state.withLock { state -> UInt64? in
            guard state.inbox != nil, !state.isFinished else { return nil }
            var caught: [Signal] = []
            for signal in Set(signals) {
                if let reason = state.use(signal) {
                    refusals.append("\(signal): \(reason)")
                } else {
                    caught.append(signal)
                }
            }
            state.lastSubscription += 1
            state.subscriptions[state.lastSubscription] = (caught, mailbox)
            return state.lastSubscription
        }
        if !refusals.isEmpty {
            logger.error("signals: never to come: \(refusals.joined(separator: "; "))")
        }
        guard let id else {
            mailbox.finish()
            return SignalSubscription(mailbox) {}
        }
        loop.perform { [self] in state.withLock { $0.inbox?.unblock() } }
        return SignalSubscription(mailbox) { [self] in
            loop.perform { [self] in unsubscribe(id) }
        }
    }

    /// Loop thread only.
    private func unsubscribe(_ id: UInt64) {
        state.withLock { state in
            guard let ended = state.subscriptions.removeValue(forKey: id) else { return }
            guard !state.isFinished else { return }
            for signal in ended.signals { state.drop(signal) }
        }
    }
}

extension SignalWatch.State {
    /// Catches a signal for one more use; why not, or nil.
    fileprivate mutating func use(_ signal: Signal) -> String? {
        guard signal.canBeCaught else { return "it can't be caught" }
        if useCounts[signal, default: 0] == 0 {
            do throws(Errno) { try inbox?.catchSignal(signal.rawValue) } catch { return "\(error)" }
        }
        useCounts[signal, default: 0] += 1
        return nil
    }

    fileprivate mutating func drop(_ signal: Signal) {
        useCounts[signal, default: 1] -= 1
        if useCounts[signal] == 0 { inbox?.giveBack(signal.rawValue) }
    }
}
