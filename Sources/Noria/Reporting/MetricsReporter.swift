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
        var nextLook: UInt64 = 0
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
            guard state.thread == nil, !state.isEnded, now >= state.nextLook else { return }
            state.nextLook = now &+ interval
            // Without a thread now, maybe at the next look.
            state.thread = try? Thread.startJoinable { [self] in run(interval, runtime) }
        }
    }

    /// Publishes a last time, and waits for that.
    ///
    /// When the loops have ended.
    func end() {
        let thread = state.withLock { state in
            state.isEnded = true
            return state.thread.take()
        }
        parker.rouse()
        thread?.join()
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
    private var histograms: [String: Histogram.Contents] = [:]
    private var pools: [ThreadPool] = []
    private var loopTimes: [(all: UInt64, active: UInt64)]

    init(_ runtime: Runtime) {
        self.runtime = runtime
        loopTimes = runtime.eventLoops.map { _ in (0, 0) }
    }

    func publish() {
        for loop in runtime.eventLoops { publish(loop) }
        let present = runtime.poolWatch.pools
        // Those that have ended since the last time are published once more.
        let ended = pools.filter { pool in !present.contains { $0 === pool } }
        for pool in ended + present { publish(pool) }
        pools = present
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
        add(.bytes, place + [("direction", "in")], snapshot.streams.receivedByteCount)
        add(.bytes, place + [("direction", "out")], snapshot.streams.sentByteCount)
        set(Metric.delay, place, loop.counts.runDelay)
        set(Metric.turnLength, place, loop.turnLog.turnLength)
    }

    private func publish(_ pool: ThreadPool) {
        let snapshot = pool.snapshot()
        let place = [("pool", pool.name)]
        set(.threads, place, Double(snapshot.threadCount))
        set(.threadLimit, place, Double(snapshot.threadLimit))
        set(.active, place, Double(snapshot.activeCount))
        set(.saturation, place, snapshot.saturation)
        set(.poolQueueDepth, place, Double(snapshot.queueDepth))
        add(.completed, place, snapshot.completed)
        add(.poolRefused, place, snapshot.refused)
        add(.cancelled, place, snapshot.cancelled)
        add(.abandoned, place, snapshot.abandoned)
        set(Metric.wait, place, pool.waits)
        set(Metric.duration, place, pool.runs)
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

    /// The distribution of what was seen since the last time.
    private func set(_ metrics: [Metric], _ place: [(String, String)], _ histogram: Histogram) {
        let key = key(metrics[0], place)
        let spread = histogram.snapshot(since: &histograms[key, default: Histogram.Contents()])
            .spread
        for (metric, value) in zip(metrics, spread) { set(metric, place, value) }
    }
}
