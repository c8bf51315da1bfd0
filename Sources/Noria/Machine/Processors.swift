// SPDX-License-Identifier: Apache-2.0

/// How many processors this process may use at once, and what that came from.
///
/// The number of a machine's processors is the wrong one inside a container: more threads than the
/// quota allows are stopped, all of them, for the rest of each period.
package struct Processors: Codable, Sendable {
    /// The smaller of the affinity and the quota, the quota rounded up; at least 1.
    package let count: Int
    /// What the affinity mask of the process's first thread allows; a cpuset is in it.
    package let affinityCount: Int
    /// The tightest quota of all control groups that hold the process, in processors.
    ///
    /// Nil when none is set where one can see.
    package let quota: Double?
    /// The control group that sets it.
    package let quotaGroup: String?
    /// Why a tighter quota may be there that can't be seen, or nil.
    package let gap: String?

    /// What holds now: it reads a few files of /proc and /sys, well under a millisecond.
    ///
    /// Any thread.
    package static var available: Self { Self(Machine()) }

    /// The same as when it was first asked for: what a process sizes its pools by.
    static let atStart = available

    init(_ machine: Machine) {
        let tightest = ControlGroups(machine).processorQuota()
        affinityCount = machine.affinityCount
        quota = tightest.value
        quotaGroup = tightest.folder
        gap = tightest.gap
        let allowed = tightest.value.map { $0.rounded(.up) } ?? .infinity
        count = max(1, Int(min(Double(affinityCount), allowed)))
    }
}
