// SPDX-License-Identifier: Apache-2.0
internal import CoreMetrics
internal import NoriaSystem
internal import Synchronization

/// Hands the runtime's numbers to the metrics system that the program has set up, now and then.
///
/// It reads what others have written down (`snapshot`), on a thread of its own, since a metrics
/// system may take locks and wait. The watchdog's looks tell it the time; the thread is begun when a
/// metrics system is found, which may be long after the start.
final class MetricsReporter: Sendable {
    private struct State {
        var thread: Thread.Joinable?
        var isEnded = false
        var nextTry: UInt64 = 0
    }

    private let interval: UInt64?
    private let state = Guarded(State())
    private let parker = Parker()

    init(_ configuration: RuntimeConfiguration) {
        interval = configuration.diagnostics.metricsInterval.map { UInt64($0.nanoseconds) }
    }

    /// Whether the program has set a metrics system up.
    private static var hasSystem: Bool { !(MetricsSystem.factory is NOOPMetricsHandler) }

    /// Begins the thread when there is somebody to report to.
    ///
    /// The watchdog's thread.
    func look(_ now: UInt64, _ runtime: Runtime) {
        guard let interval, Self.hasSystem else { return }
        state.withLock { state in
            guard state.thread == nil, !state.isEnded, now >= state.nextTry else { return }
            state.nextTry = now &+ min(interval, .max &- now)
            // Without a thread now, maybe at the next look.
            state.thread = try? Thread.startJoinable { [self] in run(interval, runtime) }
        }
    }

    /// Publishes a last time, and waits for that.
    ///
    /// When the loops have ended.
    func end(_ runtime: Runtime?) {
        // A run that was over before the first look has its numbers published, too.
        if let runtime { look(.max, runtime) }
        let thread = state.withLock { state in
            state.isEnded = true
            return state.thread.take()
        }
        parker.rouse()
        thread?.join()
        runtime?.poolWatch.forget()
    }

    private func run(_ interval: UInt64, _ runtime: Runtime) {
        Thread.name("noria metrics")
        let publisher = MetricsPublisher(runtime)
        while true {
            let isEnd = state.withLock { $0.isEnded }
            publisher.publish()
            if isEnd { return }
            _ = parker.park(nanoseconds: Int64(clamping: interval))
        }
    }
}

/// The numbers as they were published last; one thread's.
private final class MetricsPublisher {
    private let runtime: Runtime
    private let factory = MetricsSystem.factory
    private var counters: [String: (handle: Counter, last: UInt64)] = [:]
    private var times: [String: (handle: FloatingPointCounter, last: UInt64)] = [:]
    private var gauges: [String: Gauge] = [:]
    /// By the histogram; none of them goes before the publisher does.
    private var contents: [ObjectIdentifier: Histogram.Contents] = [:]
    private var loopTimes: [(all: UInt64, active: UInt64)]

    init(_ runtime: Runtime) {
        self.runtime = runtime
        loopTimes = runtime.eventLoops.map { _ in (0, 0) }
    }

    func publish() {
        for loop in runtime.eventLoops { publish(loop) }
        for (name, pools) in Dictionary(grouping: runtime.poolWatch.everyPool, by: \.name) {
            publish(pools, name)
        }
        set(.tasks, [], Double(TaskHook.count))
        let errors = runtime.uncaughtErrors.counts
        add(.uncaughtErrors, [], errors.reported + errors.suppressed)
    }

    private func publish(_ loop: EventLoop) {
        let snapshot = loop.snapshot()
        let place = [("loop", "\(loop.index)"), ("backend", "\(runtime.backend.kind)")]
        let (now, before) = (loop.turnLog.times, loopTimes[loop.index])
        loopTimes[loop.index] = now
        let (all, active) = (now.all &- before.all, now.active &- before.active)
        set(.utilization, place, all == 0 ? 0 : min(1, Double(active) / Double(all)))
        add(.time, place + [("state", "active")], nanoseconds: now.active)
        add(.time, place + [("state", "idle")], nanoseconds: now.all &- min(now.all, now.active))
        add(.turns, place, snapshot.turns)
        add(.jobs, place + [("origin", "local")], snapshot.jobsLocal)
        add(.jobs, place + [("origin", "remote")], snapshot.jobsRemote)
        add(.completions, place, snapshot.completions)
        add(.wakeups, place, snapshot.wakeups)
        add(.stalls, place, snapshot.stalls)
        set(.queueDepth, place, Double(snapshot.queueDepth))
        add(.overflows, place, snapshot.completionQueue.overflows)
        add(.starvedReceives, place, snapshot.completionQueue.starvedReceives)
        set(.timers, place, Double(snapshot.timersPending))
        add(.accepted, place, snapshot.streams.accepted)
        set(.open, place, Double(snapshot.connectionsOpen))
        add(.reset, place, snapshot.streams.reset)
        add(.timedOut, place, snapshot.streams.timedOut)
        add(.refused, place, snapshot.streams.refused)
        add(.unhandledErrors, place, snapshot.streams.unhandledErrors)
        add(.bytes, place + [("direction", "in")], snapshot.streams.receivedByteCount)
        add(.bytes, place + [("direction", "out")], snapshot.streams.sentByteCount)
        set(Metric.delay, place, [loop.counts.runDelay])
        set(Metric.turnLength, place, [loop.turnLog.turnLength])
    }

    /// Pools of one name are one to a metrics system.
    private func publish(_ pools: [ThreadPool], _ name: String) {
        let snapshots = pools.map { $0.snapshot() }
        func sum(_ value: (ThreadPoolSnapshot) -> Int) -> Double {
            Double(snapshots.reduce(0) { $0 + value($1) })
        }
        func total(_ value: (ThreadPoolSnapshot) -> UInt64) -> UInt64 {
            snapshots.reduce(0) { $0 &+ value($1) }
        }
        let place = [("pool", name)]
        let (active, limit) = (sum(\.activeCount), sum(\.threadLimit))
        set(.threads, place, sum(\.threadCount))
        set(.threadLimit, place, limit)
        set(.active, place, active)
        set(.saturation, place, limit > 0 ? active / limit : 0)
        set(.poolQueueDepth, place, sum(\.queueDepth))
        add(.completed, place, total(\.completed))
        add(.poolRefused, place, total(\.refused))
        add(.cancelled, place, total(\.cancelled))
        add(.abandoned, place, total(\.abandoned))
        set(Metric.wait, place, pools.map(\.waits))
        set(Metric.duration, place, pools.map(\.runs))
    }

    // MARK: Handles

    private func key(_ metric: Metric, _ place: [(String, String)]) -> String {
        place.reduce(metric.name) { "\($0) \($1.1)" }
    }

    /// Adds what a total has grown by since the last time.
    private func add(_ metric: Metric, _ place: [(String, String)], _ total: UInt64) {
        let key = key(metric, place)
        let counter =
            counters[key]
            ?? (Counter(label: metric.name, dimensions: place, factory: factory), 0)
        counters[key] = (counter.handle, total)
        if total > counter.last {
            counter.handle.increment(by: Int64(clamping: total - counter.last))
        }
    }

    private func add(_ metric: Metric, _ place: [(String, String)], nanoseconds total: UInt64) {
        let key = key(metric, place)
        let counter =
            times[key]
            ?? (FloatingPointCounter(label: metric.name, dimensions: place, factory: factory), 0)
        times[key] = (counter.handle, max(total, counter.last))
        if total > counter.last { counter.handle.increment(by: Double(total - counter.last) / 1e9) }
    }

    private func set(_ metric: Metric, _ place: [(String, String)], _ value: Double) {
        let key = key(metric, place)
        let gauge = gauges[key] ?? Gauge(label: metric.name, dimensions: place, factory: factory)
        gauges[key] = gauge
        gauge.record(value)
    }

    /// The distribution of what was seen since the last time, in all of them.
    private func set(
        _ metrics: [Metric],
        _ place: [(String, String)],
        _ histograms: [Histogram]
    ) {
        let changes = histograms.map { histogram in
            histogram.change(since: &contents[ObjectIdentifier(histogram), default: .init()])
        }
        for (metric, value) in zip(metrics, Histogram.summary(of: changes).spread) {
            set(metric, place, value)
        }
    }
}
