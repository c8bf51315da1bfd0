// SPDX-License-Identifier: Apache-2.0

/// What came of a run.
public struct RuntimeOutcome<Value: Sendable>: Sendable {
    /// What the body returned or threw.
    public let result: Result<Value, any Error>
    /// How it ended.
    public let report: ShutdownReport

    /// What the body returned.
    ///
    /// - Throws: what the body threw.
    public var value: Value { get throws { try result.get() } }
}
