// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem

/// A loop that has been in one turn for too long, seen while it lasts.
public struct StallReport: Sendable, Hashable, CustomStringConvertible {
    /// The loop's place in its group.
    public let eventLoop: Int
    /// The name of the group, where that was handed to `Runtime.watch`; nil for the runtime's own.
    public let group: String?
    /// How long it has lasted by now, less the time that the thread waited for a processor.
    public let duration: Duration
    /// The task that runs there, by its name and number; nil for a child task, or without
    /// `diagnostics.tracksTasks`.
    public let task: String?
    /// The calls that the thread is in, the innermost first, with file and line where the build
    /// kept them; empty when it could not be taken.
    public let stack: [String]
    /// What else is known: why there is no stack, throttling of the control group, stalls that
    /// were not reported.
    public let notes: [String]

    /// `loop 0 is blocked, for 1000 ms by now`, and a line for each call and note; a loop of a
    /// watched group is `loop 0 of 'http client'`.
    public var description: String {
        let by = task.map { " by task \($0)" } ?? ""
        let place = group.map { " of '\($0)'" } ?? ""
        let head =
            "loop \(eventLoop)\(place) is blocked\(by), for \(duration.milliseconds) ms by now"
        let calls = stack.map { "\n    \($0)" }.joined()
        let rest = notes.map { "\n    (\($0))" }.joined()
        return head + calls + rest
    }
}

extension Duration {
    /// Whole milliseconds.
    var milliseconds: Int64 { nanoseconds / 1_000_000 }
}
