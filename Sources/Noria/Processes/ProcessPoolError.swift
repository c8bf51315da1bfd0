// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem

/// Why a call in a worker process has no result.
///
/// Its description is a sentence: the call, what happened, what to do, and the end of what the
/// worker wrote to standard error.
public struct ProcessPoolError: Error, CustomStringConvertible, Sendable {
    /// The reasons.
    @nonexhaustive
    public enum Kind: Sendable, Hashable {
        /// The worker was ended by a signal while it ran the call: a trap is SIGILL or SIGTRAP.
        case killed(signal: Signal)
        /// The worker ended itself while it ran the call.
        case exited(code: Int32)
        /// The worker was refused memory: see `ProcessPool.Configuration.memoryByteCountLimit`.
        case outOfMemory
        /// The call's time was up, the wait for a worker included; a worker that ran it was ended.
        case timedOut
        /// The call's coding, or its result's, is longer than
        /// `ProcessPool.Configuration.frameByteCountLimit`.
        case frameTooLarge
        /// Workers died one after the other, and the pool starts none for a while.
        case resting
        /// The worker can't find the call's type.
        case notCallable
        /// The call threw, or could not be coded.
        case callFailed
        /// No worker could be started.
        case startFailed
        /// More calls wait than `ProcessPool.Configuration.queueLimit`.
        case queueFull
        /// The runtime has ended, or ends.
        case closed
    }

    /// The reason.
    public let kind: Kind
    /// The call's type.
    public let call: String
    /// The end of what the worker wrote to standard error and standard output during the call, 4
    /// KiB at most; empty when no worker had the call.
    public let standardErrorTail: String
    /// The reason in words.
    let reason: String

    init(_ kind: Kind, call: String, _ reason: String, standardErrorTail: String = "") {
        self.kind = kind
        self.call = call
        self.reason = reason
        self.standardErrorTail = standardErrorTail
    }

    /// `HashPassword: the worker was killed by SIGKILL; it said: …`.
    public var description: String {
        let said = standardErrorTail.split(separator: "\n").joined(separator: " | ")
        return "\(call): \(reason)" + (said.isEmpty ? "" : "; it said: \(said)")
    }
}

extension ProcessPoolError {
    /// What the end of a worker means for the call that it ran.
    static func died(
        _ end: Child.End,
        wasOutOfMemory: Bool,
        call: String,
        standardErrorTail: String
    ) -> Self {
        let (kind, reason): (Kind, String) =
            switch end {
            case _ where wasOutOfMemory:
                (.outOfMemory, "the worker was refused memory; see 'memoryByteCountLimit'")
            case .killed(let number): (.killed(signal: Signal(rawValue: number)), text(number))
            case .exited(let code):
                (.exited(code: code), "the worker ended itself with exit code \(code)")
            case .unknown:
                (
                    .exited(code: -1),
                    "the worker ended, and how was told to another part of this process"
                )
            }
        return Self(kind, call: call, reason, standardErrorTail: standardErrorTail)
    }

    private static func text(_ signal: Int32) -> String {
        let text = "the worker was ended by \(Child.name(ofSignal: signal))"
        // 9 comes from outside: what this pool kills has another error.
        return signal == 9 ? text + " from outside; by the kernel when memory runs out" : text
    }

    static func timedOut(_ call: String, after duration: Duration, _ tail: String?) -> Self {
        let place = tail == nil ? "it waited for a worker" : "its worker was ended"
        let reason = "not done after \(duration); \(place)"
        return Self(.timedOut, call: call, reason, standardErrorTail: tail ?? "")
    }

    static func frameTooLarge(_ call: String, _ what: String, _ count: Int, limit: Int) -> Self {
        let reason =
            "\(what) has \(count) bytes, more than 'frameByteCountLimit' allows (\(limit));"
            + " pass a file's path instead"
        return Self(.frameTooLarge, call: call, reason)
    }

    static func notCallable(_ call: String) -> Self {
        Self(
            .notCallable,
            call: call,
            "a worker can't find this type: make it internal, neither private nor inside a"
                + " function, and a part of the workers' program"
        )
    }

    static func closed(_ call: String) -> Self {
        Self(.closed, call: call, "the runtime has ended, or ends, and its workers with it")
    }
}
