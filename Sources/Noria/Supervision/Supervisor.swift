// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaEngine
internal import NoriaSystem
internal import SystemPackage

/// What the manager that has started this process is told: systemd, or who speaks its protocol.
///
/// It is told of its own accord: that the program is ready, when a listener is served and nothing
/// speaks against it (`Runtime.health`); that it stops, and how long that may take; and, where a
/// watchdog is set, that all loops turn. Without `NOTIFY_SOCKET` nobody is told anything, and an
/// embedded runtime and a worker process tell nobody: they are not the service.
final class Supervisor: Sendable {
    private let address: SocketStorage?
    private let logger: Logger
    private let health: Health
    private let loop: EventLoop
    private let state = Guarded(State())

    private struct State {
        /// A listener is served, or the program has said that it is ready.
        var hasBegun = false
        var wasReady = false
        /// How many reloads are under way: two may overlap.
        var reloadCount = 0
        var isStopping = false
        /// What the manager's full queue has not taken, the oldest first.
        var untold: [String] = []
        /// Somebody tells what is there and what comes meanwhile, now or when there is room.
        var isTelling = false
    }

    init(_ health: Health, _ loop: EventLoop, _ isService: Bool, _ logger: Logger) {
        self.health = health
        self.loop = loop
        self.logger = logger
        let name = isService ? Thread.environment("NOTIFY_SOCKET") ?? "" : ""
        switch name.utf8.first {
        case UInt8(ascii: "@"): address = SocketStorage(abstract: Array(name.utf8.dropFirst()))
        case UInt8(ascii: "/"): address = SocketStorage(unixPath: Array(name.utf8))
        default: address = nil
        }
        if address == nil, !name.isEmpty {
            logger.error("NOTIFY_SOCKET: '\(name)' is neither a path nor '@' and a name")
        }
    }

    var isThere: Bool { address != nil }

    /// Loop thread only.
    func begin(_ runtime: Runtime) {
        InheritedSockets.adopt()
        guard address != nil else { return }
        let deadline = runtime.configuration.shutdown.deadline
        runtime.shutdown.on {
            $0.onRequest.append { [weak self] in self?.noteStopping(deadline) }
        }
        health.onReady.withLock { $0 = { [weak self] in self?.noteReadiness(isBegin: $0) } }
        beginWatchdog(runtime.eventLoops)
    }

    /// Says that the program is ready, once, when it is: it has begun, and has nothing against it.
    ///
    /// Any thread.
    func noteReadiness(isBegin: Bool) {
        guard address != nil else { return }
        let isProgramReady = health.isProgramReady
        let isFirst = state.withLock { state in
            state.hasBegun = state.hasBegun || isBegin
            guard state.hasBegun, isProgramReady, !state.wasReady else { return false }
            state.wasReady = true
            return true
        }
        if isFirst { tell("READY=1") }
    }

    /// Says that the program stops, and that it may take until the deadline.
    private func noteStopping(_ deadline: Duration) {
        state.withLock { $0.isStopping = true }
        // A second more than ours: it should be our report that tells of the end.
        let microseconds = (deadline.nanoseconds + 1_000_000_000) / 1000
        tell("STOPPING=1\nEXTEND_TIMEOUT_USEC=\(microseconds)")
    }

    /// Before the program is ready, and when it stops, there is nothing to tell of a reload.
    func beginReload() {
        let isTold = state.withLock { state in
            state.reloadCount += 1
            return state.reloadCount == 1 && state.wasReady && !state.isStopping
        }
        if isTold { tell("RELOADING=1\nMONOTONIC_USEC=\(MonotonicClock.now / 1000)") }
    }

    func endReload() {
        let isTold = state.withLock { state in
            state.reloadCount -= 1
            return state.reloadCount == 0 && state.wasReady && !state.isStopping
        }
        if isTold { tell("READY=1") }
    }

    /// Any thread; it never waits: what a full queue does not take is told a little later.
    ///
    /// Two who tell at one time: the second finds `isTelling`, and the first tells for both; it lets
    /// go of that under the lock under which it has found nothing left.
    func tell(_ text: String) {
        guard address != nil else { return }
        let isFirst = state.withLock { state in
            state.untold.append(text)
            defer { state.isTelling = true }
            return !state.isTelling
        }
        if isFirst { tellOn() }
    }

    fileprivate func tellOn() {
        guard let address else { return }
        while let text = nextUntold() {
            do throws(Errno) {
                try ServiceManager.notify(address, text)
            } catch .resourceTemporarilyUnavailable {
                return loop.perform { [self, loop] in
                    let later = MonotonicClock.now &+ 20_000_000
                    _ = loop.timers.add(deadline: later, owner: Retelling(self))
                }
            } catch {
                logger.error("NOTIFY_SOCKET: '\(text)' could not be told: \(error)")
            }
            state.withLock { _ = $0.untold.removeFirst() }
        }
    }

    private func nextUntold() -> String? {
        state.withLock { state in
            if state.untold.isEmpty { state.isTelling = false }
            return state.untold.first
        }
    }

    /// Has it keep a copy of a descriptor, which the next process gets by this name.
    func store(_ descriptor: Int32, name: String) throws(Errno) {
        guard let address else { throw .noSuchFileOrDirectory }
        let text = "FDSTORE=1\nFDNAME=\(name)"
        try ServiceManager.notify(address, text, descriptor: descriptor)
    }

    // MARK: The watchdog

    /// Tells the manager that all loops turn, twice in the time in which it wants to hear of it.
    ///
    /// Loop thread only.
    private func beginWatchdog(_ loops: EventLoopGroup) {
        guard address != nil,
            let limit = Thread.environment("WATCHDOG_USEC").flatMap({ UInt64($0) }), limit > 0,
            Thread.environment("WATCHDOG_PID").map({ $0 == "\(Thread.processID)" }) ?? true
        else { return }
        Feeding(loops, self, every: max(1_000_000, limit &* 500)).arm()
    }
}

/// The next try with a full queue.
private final class Retelling: TimerOwner, Sendable {
    private let supervisor: Supervisor
    init(_ supervisor: Supervisor) { self.supervisor = supervisor }
    func timerFired(_ context: UInt) { supervisor.tellOn() }
}

/// Asks every loop in turn whether it turns, and tells the manager when all have answered.
///
/// A loop that is blocked keeps its answer back, and the manager hears nothing. A round that is not
/// over when the next begins is waited for: no jobs pile up before a blocked loop.
private final class Feeding: TimerOwner, Sendable {
    private let loops: EventLoopGroup
    private let supervisor: Supervisor
    private let period: UInt64
    private let isAsking = Guarded(false)

    init(_ loops: EventLoopGroup, _ supervisor: Supervisor, every period: UInt64) {
        self.loops = loops
        self.supervisor = supervisor
        self.period = period
    }

    func arm() {
        _ = loops.main.timers.add(deadline: MonotonicClock.now &+ period, owner: self)
    }

    func timerFired(_ context: UInt) {
        arm()
        let isOver = isAsking.withLock { isAsking in
            defer { isAsking = true }
            return !isAsking
        }
        if isOver { ask(1) }
    }

    private func ask(_ index: Int) {
        guard index < loops.count else {
            isAsking.withLock { $0 = false }
            return supervisor.tell("WATCHDOG=1")
        }
        loops[index].post { self.ask(index + 1) }
    }
}

extension Runtime {
    /// Tells the service manager that the program reads its configuration anew, and when it has:
    /// for a unit of `Type=notify-reload`, in what handles SIGHUP.
    ///
    /// Where nobody is to be told, it only runs `body`.
    public func reloading<Value>(_ body: () async throws -> Value) async rethrows -> Value {
        supervisor.beginReload()
        defer { supervisor.endReload() }
        return try await body()
    }

    /// A listener is served from now on.
    ///
    /// Any thread.
    package func noteServing() { supervisor.noteReadiness(isBegin: true) }
}
