// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
internal import SystemPackage

/// Writes reports, on a thread of its own: a log may block, as standard error does when it is a pipe
/// that nobody reads, and then no loop and no watchdog may wait for it.
///
/// It holds a bounded number of reports; what comes beyond is counted as lost. The thread is started
/// by the first report.
///
/// A report against the end: `end` marks the end under the same lock under which reports are queued,
/// so each is either queued before it, and written unless the log is stuck, or counted as lost.
final class ReportThread: Sendable {
    private struct State {
        var reports: [@Sendable () -> Void] = []
        var lostCount: UInt64 = 0
        var thread: Thread.Joinable?
        var isEnded = false
    }

    private let state = Guarded(State())
    private let parker = Parker()
    /// Told by the thread's leaving.
    private let left = Parker()

    /// Reports that wait, at most.
    private static let limit = 1024

    /// Reports that nobody has written: the queue was full, or the end had come.
    ///
    /// Any thread.
    var lostCount: UInt64 { state.withLock { $0.lostCount } }

    /// Has a report written soon; false when it is lost.
    ///
    /// Any thread; it never waits.
    @discardableResult
    func submit(_ report: @escaping @Sendable () -> Void) -> Bool {
        let isTaken = state.withLock { state in
            guard !state.isEnded, state.reports.count < Self.limit, startThread(&state) else {
                state.lostCount += 1
                return false
            }
            state.reports.append(report)
            return true
        }
        if isTaken { parker.rouse() }
        return isTaken
    }

    /// Has what is queued written, and waits for that; a log that is stuck is not waited for longer
    /// than `nanoseconds`, and its thread is left behind.
    ///
    /// Returns how many reports were lost in all.
    func end(nanoseconds: Int64) -> UInt64 {
        let thread = state.withLock { state in
            state.isEnded = true
            return state.thread.take()
        }
        guard let thread else { return lostCount }
        parker.rouse()
        if left.park(nanoseconds: nanoseconds) { thread.join() } else { thread.leave() }
        return state.withLock { state in
            state.lostCount += UInt64(state.reports.count)
            state.reports = []
            return state.lostCount
        }
    }

    /// Whether there is a thread, or one could be had.
    private func startThread(_ state: inout State) -> Bool {
        guard state.thread == nil else { return true }
        state.thread = try? Thread.startJoinable { [self] in run() }
        return state.thread != nil
    }

    private func run() {
        Thread.name("noria reports")
        while true {
            let (reports, isEnded) = state.withLock { state in
                defer { state.reports = [] }
                return (state.reports, state.isEnded)
            }
            for report in reports { report() }
            if isEnded, reports.isEmpty { break }
            if !isEnded { _ = parker.park(nanoseconds: .max) }
        }
        left.rouse()
    }
}
