// SPDX-License-Identifier: Apache-2.0

/// A number that goes to the program's metrics system: `docs/metrics.md` is this list in words.
///
/// The names follow OpenTelemetry's conventions for runtimes.
struct Metric: Sendable {
    enum Kind: String { case counter, gauge }

    let name: String
    let kind: Kind
    let unit: String
    let dimensions: [String]

    private init(_ name: String, _ kind: Kind, _ unit: String, _ dimensions: [String] = []) {
        (self.name, self.kind, self.unit, self.dimensions) = (name, kind, unit, dimensions)
    }

    // Of each loop.
    static let utilization = loop("eventloop.utilization", .gauge, "1")
    static let time = loop("eventloop.time", .counter, "s", and: "state")
    static let turns = loop("eventloop.turns", .counter, "turns")
    static let jobs = loop("eventloop.jobs", .counter, "jobs", and: "origin")
    static let completions = loop("eventloop.completions", .counter, "completions")
    static let wakeups = loop("eventloop.wakeups", .counter, "wakeups")
    static let stalls = loop("eventloop.stalls", .counter, "stalls")
    static let queueDepth = loop("eventloop.queue.depth", .gauge, "jobs")
    static let overflows = loop("eventloop.completions.overflows", .counter, "overflows")
    static let starvedReceives = loop("eventloop.receives.starved", .counter, "receives")
    static let timers = loop("timers.pending", .gauge, "timers")
    static let accepted = loop("connections.accepted", .counter, "connections")
    static let open = loop("connections.open", .gauge, "connections")
    static let reset = loop("connections.reset", .counter, "connections")
    static let timedOut = loop("connections.timed_out", .counter, "connections")
    static let refused = loop("connections.refused", .counter, "connections")
    static let unhandledErrors = loop("connections.unhandled_errors", .counter, "errors")
    static let bytes = loop("io.bytes", .counter, "bytes", and: "direction")
    static let delay = spread { loop("eventloop.delay\($0)", .gauge, "s") }
    static let turnLength = spread { loop("eventloop.turn\($0)", .gauge, "s") }

    // Of each pool.
    static let threads = pool("threads", .gauge, "threads")
    static let threadLimit = pool("threads.limit", .gauge, "threads")
    static let active = pool("threads.active", .gauge, "threads")
    static let saturation = pool("saturation", .gauge, "1")
    static let poolQueueDepth = pool("queue.depth", .gauge, "jobs")
    static let completed = pool("completed", .counter, "jobs")
    static let poolRefused = pool("refused", .counter, "jobs")
    static let cancelled = pool("cancelled", .counter, "jobs")
    static let abandoned = pool("abandoned", .counter, "jobs")
    static let wait = spread { pool("queue.wait\($0)", .gauge, "s") }
    static let duration = spread { pool("duration\($0)", .gauge, "s") }

    // Of the runtime.
    static let tasks = Metric("noria.tasks.live", .gauge, "tasks")
    static let uncaughtErrors = Metric("noria.tasks.unhandled_errors", .counter, "errors")

    static let all: [Metric] =
        [
            utilization, time, turns, jobs, completions, wakeups, stalls, queueDepth, overflows,
            starvedReceives, timers, accepted, open, reset, timedOut, refused,
            unhandledErrors, bytes,
        ] + delay + turnLength + [
            threads, threadLimit, active, saturation, poolQueueDepth, completed, poolRefused,
            cancelled, abandoned,
        ] + wait + duration + [tasks, uncaughtErrors]

    private static func loop(_ name: String, _ kind: Kind, _ unit: String, and more: String? = nil)
        -> Metric
    {
        Metric("noria.\(name)", kind, unit, ["loop", "backend"] + (more.map { [$0] } ?? []))
    }

    private static func pool(_ name: String, _ kind: Kind, _ unit: String) -> Metric {
        Metric("noria.blocking.\(name)", kind, unit, ["pool"])
    }

    /// A distribution of the last interval, in the order of `HistogramSnapshot.spread`.
    private static func spread(_ metric: (String) -> Metric) -> [Metric] {
        [".mean", ".p50", ".p90", ".p99", ".max"].map(metric)
    }
}

extension HistogramSnapshot {
    /// In the order of `Metric.spread`.
    var spread: [Double] { [mean, p50, p90, p99, max] }
}
