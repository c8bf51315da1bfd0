// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import Synchronization

/// What the monitor asks: see `LoopMonitor`.
extension EventLoop {
    /// Any thread.
    var isSleeping: Bool { wakeup.isSleeping }
    /// A number that stands still while the loop is in one job.
    ///
    /// Any thread.
    var progress: UInt64 { publishedJobCount.load(ordering: .relaxed) }
    /// Whether more jobs than a turn's budget have stood for a whole turn.
    ///
    /// Any thread.
    var isOverloaded: Bool { overBudget.load(ordering: .relaxed) }
}
