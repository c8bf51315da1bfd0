// SPDX-License-Identifier: Apache-2.0

/// How long its control groups have held this process back while a turn was long.
///
/// A thread that is held back waits for a processor, which is no part of a stall; but it says why
/// all is slow.
struct Throttling {
    private let groups = ControlGroups(Machine())
    private var before: Double?

    /// A turn is long: what comes from now on counts.
    mutating func begin() { if before == nil { before = groups.throttledSeconds() } }

    /// No turn is long.
    mutating func forget() { before = nil }

    /// What has come since `begin`, in words; nil when that is nothing, or can't be seen.
    func note() -> String? {
        guard let before, let now = groups.throttledSeconds(), now > before else { return nil }
        let text = "its control group was throttled for \(Int((now - before) * 1000)) ms meanwhile"
        return "\(text): cpu.max is too small for what runs in it"
    }
}

extension ControlGroups {
    /// How long the groups that hold this process have been throttled since they were made, the
    /// longest of them; nil where none counts it.
    func throttledSeconds() -> Double? {
        guard let chain = try? chain(of: "cpu") else { return nil }
        return chain.folders.compactMap { folder in
            let text = try? machine.text(ifThere: "\(folder)/cpu.stat")
            return text.flatMap {
                chain.isUnified
                    ? seconds($0, "throttled_usec", 1e6) : seconds($0, "throttled_time", 1e9)
            }
        }.max()
    }

    private func seconds(_ text: String, _ name: String, _ unit: Double) -> Double? {
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.count == 2, words[0] == name { return Double(words[1]).map { $0 / unit } }
        }
        return nil
    }
}
