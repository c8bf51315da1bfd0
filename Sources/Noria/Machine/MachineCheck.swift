// SPDX-License-Identifier: Apache-2.0

/// One row of `noria doctor`: what was found, why it matters, and what to change.
package struct MachineCheck: Codable, Sendable {
    package enum State: String, Codable, Sendable {
        case ok
        /// As it stands it holds a production service back; `command` changes it.
        case change
        /// It could not be seen, or not whole; the finding says why.
        case unknown
    }

    /// A stable name: the kernel's own where there is one, as `net.core.somaxconn`.
    package let name: String
    package let state: State
    /// The number that was found, when there is one.
    package let value: Int?
    /// What the number counts.
    package let unit: String?
    /// What was found, in words.
    package let finding: String
    /// Why it matters, as one clause.
    package let reason: String
    /// What changes it for production; nil unless the state is `change`.
    package let command: String?

    /// What a look has found.
    struct Finding {
        let text: String
        var value: Int?
        var unit: String?
        /// What to do about it; nil when it is well.
        var command: String?
        /// Why it is not the whole truth, or nil.
        var gap: String?
    }

    /// Looks; what can't be seen becomes a row that says so.
    init(
        _ name: String,
        _ reason: String,
        _ look: () throws(Machine.Unseen) -> Finding
    ) {
        self.name = name
        self.reason = reason
        do throws(Machine.Unseen) {
            let found = try look()
            state = found.command != nil ? .change : found.gap != nil ? .unknown : .ok
            (value, unit, command) = (found.value, found.unit, found.command)
            finding = [found.text, found.gap].compactMap(\.self).joined(separator: "; ")
        } catch {
            state = .unknown
            (value, unit, command) = (nil, nil, nil)
            finding = error.reason
        }
    }
}
