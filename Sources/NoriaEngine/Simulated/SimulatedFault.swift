// SPDX-License-Identifier: Apache-2.0

/// What a kernel may do at any time, and a test can seldom make it do.
package enum SimulatedFault: String, CaseIterable, Sendable {
    /// Completions come in another order than their operations could be done.
    case reordered
    /// An operation that could be done is done some waits later.
    case delayed
    /// An operation is done before `submit` returns.
    case doneAtOnce
    /// Fewer bytes are received than wait.
    case shortReceive
    /// Fewer bytes are sent than fit.
    case shortSend
    /// ENOBUFS, with buffers free or not.
    case noBuffer
    /// The operation was done before its cancellation came.
    case cancelTooLate
    /// The cancellation came first, with data waiting.
    case cancelInTime
    /// A wait ends, and says that the wakeup was seen, for no reason.
    case spuriousWakeup
    /// More completions than the queue holds: the rest comes with the next wait.
    case overflow
    /// The other side of a connection resets it.
    case peerReset
}

/// How often each fault comes, in percent of the occasions for it.
package struct SimulatedFaults: Sendable {
    package var percentages: [SimulatedFault: Int]
    /// How many completions one wait hands over.
    package var queueCapacity: Int

    package init(percentages: [SimulatedFault: Int] = [:], queueCapacity: Int = 4096) {
        self.percentages = percentages
        self.queueCapacity = queueCapacity
    }

    /// A kernel without whims.
    package static let none = SimulatedFaults()

    /// Every fault, as often as lets traffic still go on.
    package static let all = SimulatedFaults(
        percentages: [
            .reordered: 50, .delayed: 25, .doneAtOnce: 25, .shortReceive: 25, .shortSend: 25,
            .noBuffer: 10, .cancelTooLate: 50, .spuriousWakeup: 5, .peerReset: 1,
        ],
        queueCapacity: 6
    )

    func percentage(of fault: SimulatedFault) -> Int { percentages[fault] ?? 0 }
}
