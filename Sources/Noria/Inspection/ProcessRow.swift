// SPDX-License-Identifier: Apache-2.0

/// One row of `noria doctor --pid`: what was found, what said so, and what to do.
package struct ProcessRow: Codable, Sendable {
    /// A stable name: `policy`, `executors`, `debug`, `shutdown`, `descriptors`.
    package let name: String
    package let state: MachineCheck.State
    /// The number that was found, when there is one.
    package let value: Int?
    /// What the number counts.
    package let unit: String?
    /// What was found, in words.
    package let finding: String
    /// The files of /proc that say so.
    package let evidence: String
    /// What to do: what changes it, or what would tell when it is unknown; nil when it is well.
    package let advice: String?

    init(
        _ name: String,
        _ state: MachineCheck.State,
        _ finding: String,
        evidence: String,
        value: (Int, String)? = nil,
        advice: String? = nil
    ) {
        self.name = name
        self.state = state
        self.value = value?.0
        unit = value?.1
        self.finding = finding
        self.evidence = evidence
        self.advice = advice
    }

    /// Looks; what can't be seen becomes a row that says so.
    static func look(
        _ name: String,
        evidence: String,
        _ look: () throws(Machine.Unseen) -> ProcessRow
    ) -> ProcessRow {
        do throws(Machine.Unseen) { return try look() } catch {
            return ProcessRow(name, .unknown, error.reason, evidence: evidence)
        }
    }
}
