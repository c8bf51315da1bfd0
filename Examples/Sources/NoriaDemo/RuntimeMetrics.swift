// SPDX-License-Identifier: Apache-2.0
import Noria

/// A runtime's numbers under the names of `docs/metrics.md`, as Prometheus writes them.
///
/// Distributions are of the whole run, where those of `docs/metrics.md` are of the last interval:
/// Prometheus takes differences itself. `rate(noria_eventloop_turn_seconds_sum[1m])` is a loop's
/// utilization.
extension PrometheusText {
    mutating func add(_ snapshot: RuntimeSnapshot, isReady: Bool) {
        let backend = "\(snapshot.backend.kind)"
        add("noria_info", .gauge, "Which backend runs.", [one(1, [("backend", backend)])])
        add("noria_ready", .gauge, "Whether the service takes work.", [one(isReady ? 1 : 0)])
        addLoops(
            snapshot.eventLoops.map { loop in
                Loop(labels: [("loop", "\(loop.index)"), ("backend", backend)], loop: loop)
            }
        )
        addPools([snapshot.blocking, snapshot.compute])
        add("noria_tasks_live", .gauge, "Live tasks.", [one(Double(snapshot.taskCount))])
        let errors = snapshot.uncaughtErrors
        add(
            "noria_tasks_unhandled_errors_total",
            .counter,
            "Errors that nobody awaited.",
            [one(Double(errors.reported + errors.suppressed))]
        )
    }

    private typealias Labels = [(name: String, value: String)]

    private struct Loop {
        let labels: Labels
        let loop: EventLoopSnapshot
    }

    private func one(_ value: Double, _ labels: Labels = []) -> Sample {
        Sample(labels: labels, value: value)
    }

    // MARK: Of each loop

    private mutating func addLoops(_ loops: [Loop]) {
        func each(_ value: (EventLoopSnapshot) -> Double) -> [Sample] {
            loops.map { one(value($0.loop), $0.labels) }
        }
        func both(
            _ label: String,
            _ values: [(String, (EventLoopSnapshot) -> UInt64)]
        ) -> [Sample] {
            loops.flatMap { loop in
                values.map { one(Double($0.1(loop.loop)), loop.labels + [(label, $0.0)]) }
            }
        }
        let counters: [(String, String, (EventLoopSnapshot) -> UInt64)] = [
            ("eventloop_turns", "Turns done.", { $0.turns }),
            ("eventloop_completions", "Answers of the kernel delivered.", { $0.completions }),
            ("eventloop_wakeups", "Sleeps that another thread ended.", { $0.wakeups }),
            ("eventloop_stalls", "Turns over the stall threshold.", { $0.stalls }),
            (
                "eventloop_completions_overflows", "Times that the ring was full.",
                { $0.completionQueue.overflows }
            ),
            (
                "eventloop_receives_starved", "Receives that waited for a buffer.",
                { $0.completionQueue.starvedReceives }
            ),
            ("connections_accepted", "Connections taken by a listener.", { $0.streams.accepted }),
            ("connections_reset", "Streams reset by peer or network.", { $0.streams.reset }),
            ("connections_timed_out", "Streams ended by a time-out.", { $0.streams.timedOut }),
            ("connections_refused", "Connections without a handler.", { $0.streams.refused }),
        ]
        for (name, help, value) in counters {
            add("noria_\(name)_total", .counter, help, each { Double(value($0)) })
        }
        add(
            "noria_eventloop_jobs_total",
            .counter,
            "Jobs taken, by whether the loop itself had queued them.",
            both("origin", [("local", { $0.jobsLocal }), ("remote", { $0.jobsRemote })])
        )
        add(
            "noria_io_bytes_total",
            .counter,
            "Bytes of sockets.",
            both(
                "direction",
                [
                    ("in", { $0.streams.receivedByteCount }), ("out", { $0.streams.sentByteCount }),
                ]
            )
        )
        let gauges: [(String, String, (EventLoopSnapshot) -> Double)] = [
            (
                "eventloop_utilization", "Share of the run in which the loop did not wait.",
                { $0.utilization }
            ),
            (
                "eventloop_queue_depth", "Jobs that the last turn had no budget for.",
                { Double($0.queueDepth) }
            ),
            ("timers_pending", "Timers that wait.", { Double($0.timersPending) }),
            ("connections_open", "Open streams.", { Double($0.connectionsOpen) }),
            (
                "eventloop_delay_max_seconds", "The longest wait of a job for those before it.",
                { $0.runDelay.max }
            ),
            ("eventloop_turn_max_seconds", "The longest turn.", { $0.turnLength.max }),
        ]
        for (name, help, value) in gauges { add("noria_\(name)", .gauge, help, each(value)) }
        add(
            "noria_eventloop_delay_seconds",
            .summary,
            "How long jobs wait for those before them in a turn.",
            loops.flatMap { Self.samples(of: $0.loop.runDelay, $0.labels) }
        )
        add(
            "noria_eventloop_turn_seconds",
            .summary,
            "How long turns take.",
            loops.flatMap { Self.samples(of: $0.loop.turnLength, $0.labels) }
        )
    }

    // MARK: Of each pool

    private mutating func addPools(_ pools: [ThreadPoolSnapshot]) {
        let counters: [(String, String, (ThreadPoolSnapshot) -> UInt64)] = [
            ("completed", "Jobs that were run.", { $0.completed }),
            ("refused", "Calls that found the queue full.", { $0.refused }),
            ("cancelled", "Jobs that were cancelled while they waited.", { $0.cancelled }),
            ("abandoned", "Jobs whose time was over while they ran.", { $0.abandoned }),
        ]
        for (name, help, value) in counters {
            add(
                "noria_blocking_\(name)_total",
                .counter,
                help,
                pools.map { one(Double(value($0)), [("pool", $0.name)]) }
            )
        }
        let gauges: [(String, String, (ThreadPoolSnapshot) -> Double)] = [
            ("threads", "Threads that there are.", { Double($0.threadCount) }),
            ("threads_limit", "Threads that there may be now.", { Double($0.threadLimit) }),
            ("threads_active", "Threads that run a job.", { Double($0.activeCount) }),
            ("saturation", "Share of the allowed threads that run a job.", { $0.saturation }),
            ("queue_depth", "Jobs that wait.", { Double($0.queueDepth) }),
        ]
        for (name, help, value) in gauges {
            add(
                "noria_blocking_\(name)",
                .gauge,
                help,
                pools.map { one(value($0), [("pool", $0.name)]) }
            )
        }
        let spreads: [(String, String, (ThreadPoolSnapshot) -> HistogramSnapshot)] = [
            ("queue_wait", "From the call to the begin of its job.", { $0.wait }),
            ("duration", "From the begin of a job to its end.", { $0.run }),
        ]
        for (name, help, value) in spreads {
            add(
                "noria_blocking_\(name)_seconds",
                .summary,
                help,
                pools.flatMap { Self.samples(of: value($0), [("pool", $0.name)]) }
            )
        }
    }
}
