// SPDX-License-Identifier: Apache-2.0

extension Knob {
    /// The knobs of what the runtime watches in itself.
    static let diagnostics = [
        Knob(
            "diagnostics.tracksTasks",
            "NORIA_TRACKS_TASKS",
            \.diagnostics.tracksTasks,
            .flag,
            "Lists the live tasks and cancels them at the end."
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
