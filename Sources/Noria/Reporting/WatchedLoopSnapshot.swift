// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem

/// A loop of another framework's that `Runtime.watch` watches: SwiftNIO's, under the trait `NIO`.
public struct WatchedLoopSnapshot: Codable, Sendable, Hashable {
    /// The name that its group was given.
    public let group: String
    /// The loop's place in its group.
    public let index: Int
    /// Beats that were later than `Diagnostics.stallThreshold`, less what the thread waited for a
    /// processor.
    public let stalls: UInt64
    /// Those over `Diagnostics.stallReportThreshold` that were counted and not reported.
    public let stallReportsSuppressed: UInt64
    /// How late each beat was, in seconds.
    public let lateness: HistogramSnapshot
}

extension Heartbeat {
    /// What the loop has shown since it is watched.
    ///
    /// Any thread.
    func snapshot() -> WatchedLoopSnapshot {
        let (stalls, suppressed) = turnLog.stallCounts
        return WatchedLoopSnapshot(
            group: group,
            index: index,
            stalls: stalls,
            stallReportsSuppressed: suppressed,
            lateness: turnLog.turnLength.snapshot()
        )
    }
}

extension Runtime {
    /// Has the watchdog watch the loops of a group of somebody else's, whose heartbeats the caller
    /// keeps going.
    ///
    /// Any thread.
    package func watchLoops(ofGroup name: String, count: Int) -> [Heartbeat] {
        let diagnostics = configuration.diagnostics
        // A beat costs SwiftNIO's loop some 60 µs: ten a second are 0.06 % of a processor.
        let period = max(.milliseconds(100), min(.seconds(1), diagnostics.stallThreshold))
        let heartbeats = (0..<count).map { Heartbeat(group: name, index: $0, period: period) }
        watchdog.watch(heartbeats)
        return heartbeats
    }
}
