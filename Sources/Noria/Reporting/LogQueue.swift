// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaSystem
internal import Synchronization

/// Takes a run's log events, and has a thread of its own write them: whoever reads the log slowly,
/// or not at all, stops no loop.
///
/// What finds the queue full is dropped and counted; the number is written when there is room.
final class LogQueue: Sendable {
    private struct Entry {
        let handler: any LogHandler
        let event: LogEvent
    }

    private struct State {
        var waiting: [Entry] = []
        var isWriting = false
        var droppedCount = 0
        var lastDropped: Entry?
        var thread: Thread.Joinable?
        /// Events are written where they are made: before the thread is there, and after it.
        var isDirect = true
    }

    /// Some seconds of a service that has much to say.
    private static let limit = 1024
    private static let patienceNanoseconds: UInt64 = 1_000_000_000
    private static let limitNanoseconds: UInt64 = 5_000_000_000

    /// A thread has been left behind in a write.
    static var isStuck: Bool { stuck.load(ordering: .relaxed) }
    private static let stuck = Atomic<Bool>(false)

    private let state = Guarded(State())
    private let parker = Parker()
    private let writtenCount = Atomic<UInt64>(0)

    /// The same logger, by way of this queue.
    func logger(_ logger: Logger) -> Logger {
        Logger(label: logger.label) { _ in
            QueuedLogHandler(queue: self, handler: logger.handler)
        }
    }

    /// Begins to write on a thread; without one events are written where they are made.
    func begin() {
        guard let thread = try? Thread.startJoinable({ self.run() }) else { return }
        state.withLock { state in
            state.thread = thread
            state.isDirect = false
        }
    }

    /// Any thread.
    fileprivate func take(_ event: LogEvent, _ handler: any LogHandler) {
        let entry = Entry(handler: handler, event: event)
        let isDirect = state.withLock { state in
            guard !state.isDirect else { return true }
            if state.waiting.count < Self.limit {
                state.waiting.append(entry)
            } else {
                state.droppedCount += 1
                state.lastDropped = entry
            }
            return false
        }
        if isDirect { handler.log(event: event) } else { parker.rouse() }
    }

    private func run() {
        Thread.name("noria log")
        while true {
            let (entries, dropped) = state.withLock { state in
                defer { (state.waiting, state.droppedCount, state.lastDropped) = ([], 0, nil) }
                state.isWriting = !state.waiting.isEmpty
                return (state.waiting, state.lastDropped.map { ($0, state.droppedCount) })
            }
            for entry in entries {
                entry.handler.log(event: entry.event)
                writtenCount.wrappingAdd(1, ordering: .relaxed)
            }
            if let (entry, count) = dropped { Self.tell(entry, count) }
            guard entries.isEmpty else { continue }
            if state.withLock({ $0.waiting.isEmpty && $0.isDirect }) { return }
            _ = parker.park(nanoseconds: .max)
        }
    }

    private static func tell(_ last: Entry, _ count: Int) {
        var event = last.event
        event.level = .warning
        event.message = "\(count) log lines were dropped: the log is read too slowly"
        event.metadata = nil
        last.handler.log(event: event)
    }

    /// Waits until all is written, as long as the writing goes on; false when it stands still.
    ///
    /// Plain threads, and a loop that has ended.
    func flush(
        patience: UInt64 = patienceNanoseconds,
        limit: UInt64 = limitNanoseconds
    ) -> Bool {
        let begin = MonotonicClock.now
        var (seen, since) = (writtenCount.load(ordering: .relaxed), MonotonicClock.now)
        while state.withLock({ !$0.waiting.isEmpty || $0.isWriting }) {
            parker.rouse()
            Thread.sleep(nanoseconds: 200_000)
            let written = writtenCount.load(ordering: .relaxed)
            if written != seen { (seen, since) = (written, MonotonicClock.now) }
            let now = MonotonicClock.now
            if now - since > patience || now - begin > limit { return false }
        }
        return true
    }

    /// Writes what is left and joins the thread; one that is stuck in a write is left behind.
    func end() {
        let isFlushed = flush()
        let thread = state.withLock { state in
            state.isDirect = isFlushed
            return state.thread.take()
        }
        guard isFlushed else {
            Self.stuck.store(true, ordering: .relaxed)
            return
        }
        guard let thread else { return }
        parker.rouse()
        thread.join()
    }
}

/// A log handler whose events are written by a queue's thread.
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
