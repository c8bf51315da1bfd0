// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaSystem
internal import Synchronization

/// Has a run's log written by the thread of its reports: whoever reads the log slowly, or not at
/// all, stops no loop.
///
/// Lines that find the queue full are lost and counted; the number is written when there is room.
final class LogQueue: Sendable {
    private let reports: ReportThread
    /// Before a run and after it lines are written where they are made.
    private let isQueueing = Atomic<Bool>(false)
    private let lost = Atomic<UInt64>(0)
    private let toldLost = Atomic<UInt64>(0)

    init(_ reports: ReportThread) { self.reports = reports }

    /// The same logger, by way of this queue.
    func logger(_ logger: Logger) -> Logger {
        Logger(label: logger.label) { _ in
            QueuedLogHandler(queue: self, handler: logger.handler)
        }
    }

    func begin() { isQueueing.store(true, ordering: .releasing) }

    /// Any thread.
    fileprivate func take(_ event: LogEvent, _ handler: any LogHandler) {
        guard isQueueing.load(ordering: .acquiring) else { return handler.log(event: event) }
        let isTaken = reports.submit { [self] in
            handler.log(event: event)
            tellOfLost(event, handler)
        }
        if !isTaken { lost.wrappingAdd(1, ordering: .relaxed) }
    }

    /// The thread of the reports.
    private func tellOfLost(_ last: LogEvent, _ handler: any LogHandler) {
        let all = lost.load(ordering: .relaxed)
        let told = toldLost.load(ordering: .relaxed)
        guard all > told else { return }
        toldLost.store(all, ordering: .relaxed)
        var event = last
        event.level = .warning
        event.message = "\(all - told) log lines were lost: the log is read too slowly"
        event.metadata = nil
        handler.log(event: event)
    }

    /// Waits until all that is queued is written; false when that takes too long.
    ///
    /// Plain threads.
    func flush(nanoseconds: Int64) -> Bool {
        guard isQueueing.load(ordering: .acquiring) else { return true }
        let written = Parker()
        return reports.submit { written.rouse() } && written.park(nanoseconds: nanoseconds)
    }

    /// After the thread: lines are written where they are made, if they can be.
    func end() { isQueueing.store(ReportThread.isStuck, ordering: .releasing) }
}

/// A log handler whose events are written elsewhere.
private struct QueuedLogHandler: LogHandler {
    let queue: LogQueue
    var handler: any LogHandler

    var logLevel: Logger.Level {
        get { handler.logLevel }
        set { handler.logLevel = newValue }
    }

    var metadata: Logger.Metadata {
        get { handler.metadata }
        set { handler.metadata = newValue }
    }

    var metadataProvider: Logger.MetadataProvider? {
        get { handler.metadataProvider }
        set { handler.metadataProvider = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { handler[metadataKey: key] }
        set { handler[metadataKey: key] = newValue }
    }

    func log(event: LogEvent) {
        guard let provider = handler.metadataProvider else { return queue.take(event, handler) }
        // It may look at task locals, which the queue's thread has not.
        var (event, plain) = (event, handler)
        event.metadata = provider.get().merging(event.metadata ?? [:]) { $1 }
        plain.metadataProvider = nil
        queue.take(event, plain)
    }
}
