// SPDX-License-Identifier: Apache-2.0

/// What a process pool does, at one moment.
public struct ProcessPoolSnapshot: Codable, Sendable, Hashable {
    /// The workers that run, those included that have not said hello yet.
    public let workerCount: Int
    /// The workers that run a call.
    public let busyCount: Int
    /// The calls that wait for a worker.
    public let queueDepth: Int
    /// The calls that were given to the pool so far.
    public let calls: UInt64
    /// The calls among them that ended with an error, cancellation included.
    public let failures: UInt64
    /// The workers that have ended so far, however they did, but for the pool's own end.
    public let deaths: UInt64
    /// The workers that were started in the place of one that had ended.
    public let replacements: UInt64
    /// Whether the pool starts no worker for a while, since they died one after the other.
    public let isResting: Bool
}
