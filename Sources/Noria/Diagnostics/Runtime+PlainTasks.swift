// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaEngine
internal import NoriaSystem

/// The end of the tasks that nobody holds.
extension Runtime {
    /// Cancels the plain tasks that are live, and says so for the report; an embedded runtime leaves
    /// them to their program.
    func cancelPlainTasks() -> [String] {
        guard !isEmbedded else { return [] }
        let count = TaskHook.cancelAll()
        return count == 0 ? [] : [count == 1 ? "1 plain task" : "\(count) plain tasks"]
    }

    /// Ends the plain tasks that are left when all else has ended: they are cancelled, and have the
    /// settle time to end.
    func finishPlainTasks() async {
        guard !isEmbedded, TaskHook.plainCount > 0 else { return }
        // What failed as the body's last act is not cut off by a turn.
        await Task.yield()
        guard TaskHook.plainCount > 0 else { return }
        shutdown.noteCancelled(cancelPlainTasks())
        let end = MonotonicClock.now &+ UInt64(configuration.shutdown.settleTime.nanoseconds)
        while TaskHook.plainCount > 0 {
            guard MonotonicClock.now < end else {
                let count = TaskHook.plainCount
                debugWatch?.noteLeftBehind()
                return configuration.logger.warning(
                    "\(count) plain tasks were cancelled and have not ended; they are left behind"
                )
            }
            await pause()
        }
    }

    private func pause() async {
        let deadline = MonotonicClock.now &+ 500_000
        let loop = eventLoops.main
        await withUnsafeContinuation { continuation in
            loop.perform {
                _ = loop.timers.add(deadline: deadline, owner: Pause(continuation), context: 0)
            }
        }
    }

    /// Logs the live tasks, on a thread of its own: how many of each name, then the oldest.
    ///
    /// Any thread.
    func logTasks() {
        do {
            try Thread.start { [self] in
                Thread.name("noria tasks")
                let report = TaskReport(tasks())
                for line in report.lines { configuration.logger.notice("tasks: \(line)") }
            }
        } catch { configuration.logger.error("tasks: no thread to list them: \(error)") }
    }
}

/// A wait of the end's.
private final class Pause: TimerOwner {
    private let continuation: UnsafeContinuation<Void, Never>
    init(_ continuation: UnsafeContinuation<Void, Never>) { self.continuation = continuation }
    func timerFired(_ context: UInt) { continuation.resume() }
}
