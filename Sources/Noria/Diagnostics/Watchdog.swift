// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaSystem
internal import SystemPackage

/// Sees loops that are kept in one turn, and says by what: a plain thread, since a loop that blocks
/// can say nothing.
///
/// It also publishes the snapshot (`SnapshotPublisher`), for the same reason.
///
/// It looks every 25 ms while loops turn, and twice in the time of a report when none has turned for
/// a while: an idle service is woken twice a second. A loop that merely waits is known to wait.
final class Watchdog: Sendable {
    private let loops: EventLoopGroup
    private let configuration: RuntimeConfiguration.Diagnostics
    private let logger: Logger
    private let reports: ReportThread
    private let metrics: MetricsReporter
    private let parker = Parker()
    private let hasBegun = Parker()
    private let state = Guarded<(thread: Thread.Joinable?, isEnded: Bool)>((nil, false))
    /// What the start has found, which the snapshot shows; before there is none.
    private let checks = Guarded<[ProductionCheck]?>(nil)
    /// Of loops that are none of ours.
    private let guests = Guarded<[Heartbeat]>([])

    init(
        _ loops: EventLoopGroup,
        _ configuration: RuntimeConfiguration,
        _ reports: ReportThread
    ) {
        self.loops = loops
        self.reports = reports
        self.configuration = configuration.diagnostics
        metrics = MetricsReporter(configuration)
        logger = configuration.logger
        let threshold = UInt64(self.configuration.stallThreshold.nanoseconds)
        for loop in loops { loop.turnLog.watch(from: threshold) }
    }

    /// When the loops turn: their threads are known then.
    ///
    /// It returns when the watchdog has its descriptors, a tenth of a millisecond later on a machine
    /// that is not busy: a program finds the same ones open whenever it looks.
    func begin() {
        guard configuration.watchesLoops, Instrumentation.isOn else { return }
        do throws(Errno) {
            let thread = try Thread.startJoinable { [self] in run() }
            state.withLock { $0.thread = thread }
            _ = hasBegun.park(nanoseconds: 1_000_000_000)
        } catch {
            logger.error(
                "watchdog: no thread for it: \(error); loops that are blocked are not seen"
            )
        }
    }

    /// Has the snapshot published from the next look on, with what the start has found.
    ///
    /// Any thread.
    func publish(_ found: [ProductionCheck]) { checks.withLock { $0 = found } }

    /// Has loops that are none of ours watched, from the next look on.
    ///
    /// Any thread.
    func watch(_ heartbeats: [Heartbeat]) { guests.withLock { $0 += heartbeats } }

    /// Those that are watched, without those whose loops have ended.
    ///
    /// Any thread.
    var heartbeats: [Heartbeat] {
        guests.withLock { guests in
            guests.removeAll(where: \.isOver)
            return guests
        }
    }

    /// When the loops have ended.
    func end() {
        let thread = state.withLock { state in
            state.isEnded = true
            return state.thread.take()
        }
        parker.rouse()
        thread?.join()
        metrics.end(Runtime.current)
        for heartbeat in heartbeats { heartbeat.stop() }
        for loop in loops { loop.turnLog.watch(from: .max) }
    }

    private func run() {
        Thread.name("noria watchdog")
        Thread.refuseFileSizeSignal()
        let pacing = Pacing(configuration)
        let watched = loops.map { WatchedLoop($0, configuration) }
        let ownDelay = RunQueueDelay(thread: Thread.id)
        var publisher = configuration.publishesSnapshot ? SnapshotPublisher() : nil
        hasBegun.rouse()
        let stacks = StallStacks(configuration.stallStacks, logger)
        var (period, quietLooks) = (pacing.period, 0)
        var guests: [WatchedHeartbeat] = []
        while true {
            let (began, delayBefore) = (MonotonicClock.now, ownDelay?.read() ?? 0)
            // They take a part of a millisecond: a stop of the process that falls there has to be
            // seen as one that falls into the sleep is.
            if let runtime = Runtime.current {
                metrics.look(began, runtime)
                if let checks = checks.withLock({ $0 }) { publisher?.look(began, runtime, checks) }
            }
            if parker.park(nanoseconds: period), state.withLock({ $0.isEnded }) { break }
            let now = MonotonicClock.now
            let delay = (ownDelay?.read() ?? 0) &- delayBefore
            let pause = pacing.pause(slept: now &- began, period: period, ownDelay: delay)
            var isQuiet = true
            for loop in watched {
                for finding in loop.look(now, pause: pause) { report(finding, of: loop, stacks) }
                if !loop.wasQuiet { isQuiet = false }
            }
            guests = present(guests)
            for guest in guests {
                for finding in guest.look(now, pause: pause) { report(finding, of: guest, stacks) }
                if !guest.wasQuiet { isQuiet = false }
            }
            quietLooks = isQuiet ? quietLooks + 1 : 0
            period = quietLooks < Pacing.quietLookCount ? pacing.period : pacing.idlePeriod
        }
    }

    /// Those that are watched now, of which some were before.
    private func present(_ before: [WatchedHeartbeat]) -> [WatchedHeartbeat] {
        let heartbeats = heartbeats
        guard !heartbeats.elementsEqual(before, by: { $0 === $1.heartbeat }) else { return before }
        return heartbeats.map { heartbeat in
            before.first { $0.heartbeat === heartbeat }
                ?? WatchedHeartbeat(heartbeat, configuration)
        }
    }

    private func report(
        _ finding: WatchedLoop.Finding,
        of watched: some Watched,
        _ stacks: StallStacks
    ) {
        let (name, index, group) = (watched.name, watched.index, watched.group)
        let logger = logger
        switch finding {
        case .over(let length, let wasReported):
            let text = "\(name) goes on, after a turn of \(length / 1_000_000) ms"
            reports.submit { logger.log(level: wasReported ? .notice : .debug, "\(text)") }
        case .saturated(let text):
            reports.submit { logger.warning("\(name): \(text)") }
        case .lasting(let length, let unreported):
            // Now, while it lasts; the names of what was found may take their time.
            let evidence = stacks.take(of: watched.threadID)
            var notes = [watched.throttlingNote()].compactMap(\.self)
            if unreported > 0 { notes.append("\(unreported) stalls before it were not reported") }
            let (onStall, names) = (configuration.onStall, stacks.names)
            reports.submit { [notes] in
                let report = StallReport(
                    eventLoop: index,
                    group: group,
                    duration: .nanoseconds(Int64(clamping: length)),
                    task: evidence.task,
                    stack: names.calls(evidence),
                    notes: evidence.notes + notes
                )
                if let cost = evidence.nanoseconds {
                    logger.debug("a stack was taken in \(cost / 1000) us of its thread's time")
                }
                logger.warning("\(report)")
                onStall?(report)
            }
        }
    }
}

/// When the watchdog looks, and what its own sleep tells.
private struct Pacing {
    let period: Int64
    let idlePeriod: Int64
    /// A second without a turn.
    static let quietLookCount = 40

    init(_ configuration: RuntimeConfiguration.Diagnostics) {
        let quarter = configuration.stallThreshold.nanoseconds / 4
        period = max(1_000_000, min(25_000_000, quarter))
        idlePeriod = max(period, configuration.stallReportThreshold.nanoseconds / 2)
    }

    /// How long the process stood still: a sleep that overran two periods, less what the thread
    /// itself waited for a processor, which tells nothing of the loops.
    func pause(slept: UInt64, period: Int64, ownDelay: UInt64) -> UInt64 {
        let over = slept &- min(slept, UInt64(period) &+ ownDelay)
        return over > 2 * UInt64(self.period) ? over : 0
    }
}
