// SPDX-License-Identifier: Apache-2.0

extension Knob {
    /// The knobs of what the runtime watches in itself.
    static let diagnostics = [
        Knob(
            "diagnostics.debug",
            "NORIA_DEBUG",
            \.diagnostics.debug,
            .debugMode,
            "Looks at every job, task and handle; where the code says on or off, that holds."
        ).unread { $0.diagnostics.debug != .environment },
        Knob(
            "diagnostics.slowJobThreshold",
            "NORIA_SLOW_JOB_THRESHOLD",
            \.diagnostics.slowJobThreshold,
            .time(.milliseconds(1)...(.seconds(3600))),
            "How long a job may take before the debug mode logs it."
        ),
        Knob(
            "diagnostics.metricsInterval",
            "NORIA_METRICS_INTERVAL",
            \.diagnostics.metricsInterval,
            .optional(.time(.milliseconds(100)...(.seconds(3600))), "none"),
            "How often numbers go to the program's metrics system."
        ),
        Knob(
            "diagnostics.tracksTasks",
            "NORIA_TRACKS_TASKS",
            \.diagnostics.tracksTasks,
            .flag,
            "Lists the live tasks and cancels them at the end."
        ),
        Knob(
            "diagnostics.publishesSnapshot",
            "NORIA_PUBLISHES_SNAPSHOT",
            \.diagnostics.publishesSnapshot,
            .flag,
            "Shows the snapshot to 'noria doctor --pid'."
        ),
        Knob(
            "diagnostics.stallThreshold",
            "NORIA_STALL_THRESHOLD",
            \.diagnostics.stallThreshold,
            .time(.milliseconds(1)...(.seconds(3600))),
            "How long a turn of a loop may last before it is counted as a stall."
        ).notAbove("diagnostics.stallReportThreshold") {
            $0.diagnostics.stallThreshold <= $0.diagnostics.stallReportThreshold
        },
        Knob(
            "diagnostics.stallReportThreshold",
            "NORIA_STALL_REPORT_THRESHOLD",
            \.diagnostics.stallReportThreshold,
            .time(.milliseconds(1)...(.seconds(3600))),
            "How long a stall may last before it is reported."
        ),
        Knob(
            "diagnostics.stallReportsPerMinute",
            "NORIA_STALL_REPORTS_PER_MINUTE",
            \.diagnostics.stallReportsPerMinute,
            .count(0...1000, "reports"),
            "Stalls of one loop that are reported in a minute, at most."
        ),
        Knob(
            "diagnostics.stallStacks",
            "NORIA_STALL_STACKS",
            \.diagnostics.stallStacks,
            .choice,
            "Whether a signal takes the stack of a blocked loop for its report."
        ),
    ]
}

extension KnobForm<RuntimeConfiguration.DebugMode> {
    /// `1` and `0`, as variables for a debug mode are written.
    static var debugMode: Self {
        Self(unit: "switch", range: "1 (or on), 0 (or off), or environment") {
            $0.rawValue
        } value: {
            ["1": .on, "on": .on, "0": .off, "off": .off, "environment": .environment][$0]
        } allows: { _ in
            true
        }
    }
}
