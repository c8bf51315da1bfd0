// SPDX-License-Identifier: Apache-2.0

/// What a process pool does, at one moment.
public struct ProcessPoolSnapshot: Codable, Sendable {
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
    /// From the sending of a call to a worker until its result, for calls that have one.
    public let roundTrip: HistogramSnapshot
}

/// What others see of a pool's state, stored after each event.
struct ProcessPoolCounts: Sendable {
    let workerCount: Int
    let busyCount: Int
    let queueDepth: Int
    let calls: UInt64
    let failures: UInt64
    let deaths: UInt64
    let replacements: UInt64
    let isResting: Bool

    init(_ state: ProcessPoolState, failures: UInt64) {
        workerCount = state.workerCount
        busyCount = state.busyCount
        queueDepth = state.queueDepth
        calls = state.callCount
        self.failures = failures
        deaths = state.deathCount
        replacements = state.replacementCount
        isResting = state.isResting
    }
}

extension ProcessPoolSnapshot {
    init(_ counts: ProcessPoolCounts, roundTrip: HistogramSnapshot) {
        self.init(
            workerCount: counts.workerCount,
            busyCount: counts.busyCount,
            queueDepth: counts.queueDepth,
            calls: counts.calls,
            failures: counts.failures,
            deaths: counts.deaths,
            replacements: counts.replacements,
            isResting: counts.isResting,
            roundTrip: roundTrip
        )
    }
}
