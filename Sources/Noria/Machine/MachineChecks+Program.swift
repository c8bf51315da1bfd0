// SPDX-License-Identifier: Apache-2.0

extension MachineCheck {
    /// Whether this build sees the tasks that nobody awaits; a program has what it was linked with.
    static func exceptionHandler(_ coverage: TaskCoverage) -> Self {
        MachineCheck(
            "exception handler",
            "errors that nobody awaits are reported, and live tasks listed"
        ) {
            Finding(
                text: coverage.gap ?? "plain tasks are covered",
                command: coverage.gap.map { _ in "link with \(TaskCoverage.flags)" }
            )
        }
    }
}
