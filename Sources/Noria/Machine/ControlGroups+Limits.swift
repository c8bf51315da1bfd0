// SPDX-License-Identifier: Apache-2.0

/// The limits of control groups that a runtime meets: processor time, threads, memory.
extension ControlGroups {
    /// Processor time in processors: 1.5 is 150 ms in each 100 ms.
    func processorQuota() -> Tightest<Double> {
        tightest(of: "cpu") { folder, isUnified throws(Machine.Unseen) in
            isUnified ? try unifiedQuota(folder) : try firstQuota(folder)
        }
    }

    /// Threads of everything in the group.
    func threadLimit() -> Tightest<Int> {
        tightest(of: "pids") { folder, _ throws(Machine.Unseen) in try limit("\(folder)/pids.max") }
    }

    /// Memory of everything in the group, in bytes.
    func memoryLimit() -> Tightest<Int> {
        tightest(of: "memory") { folder, isUnified throws(Machine.Unseen) in
            let name = isUnified ? "memory.max" : "memory.limit_in_bytes"
            let limit = try limit("\(folder)/\(name)")
            // Version 1 says "none" by the largest number of whole pages.
            return limit.flatMap { $0 > .max / 2 ? nil : $0 }
        }
    }

    /// `cpu.max`: `max 100000`, or microseconds of each period: `150000 100000`.
    private func unifiedQuota(_ folder: String) throws(Machine.Unseen) -> Double? {
        let path = "\(folder)/cpu.max"
        guard let text = try machine.text(ifThere: path) else { return nil }
        let words = text.trimmed.split(separator: " ")
        guard words.count == 2 else {
            throw Machine.Unseen(reason: "\(path) says '\(text.trimmed.prefix(40))'")
        }
        guard words[0] != "max" else { return nil }
        return try ratio(
            Machine.number(words[0], in: path),
            Machine.number(words[1], in: path),
            path
        )
    }

    /// `cpu.cfs_quota_us`, -1 for none, of each `cpu.cfs_period_us`.
    private func firstQuota(_ folder: String) throws(Machine.Unseen) -> Double? {
        let path = "\(folder)/cpu.cfs_quota_us"
        guard let text = try machine.text(ifThere: path) else { return nil }
        let quota = try Machine.number(text, in: path)
        guard quota != -1 else { return nil }
        return try ratio(quota, machine.number("\(folder)/cpu.cfs_period_us"), path)
    }

    private func ratio(
        _ quota: Int,
        _ period: Int,
        _ path: String
    ) throws(Machine.Unseen) -> Double {
        guard quota > 0, period > 0 else {
            throw Machine.Unseen(reason: "\(path) says \(quota) of each \(period) microseconds")
        }
        return Double(quota) / Double(period)
    }

    /// A number or `max`; a file that isn't there sets no limit.
    private func limit(_ path: String) throws(Machine.Unseen) -> Int? {
        guard let text = try machine.text(ifThere: path), text.trimmed != "max" else { return nil }
        return try Machine.number(text, in: path)
    }
}
