// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaSystem
internal import Synchronization
internal import SystemPackage

/// How many errors that nobody awaited a runtime has met; the two together are all of them.
public struct UncaughtErrorCounts: Codable, Sendable, Hashable, CustomStringConvertible {
    /// Those that were logged, or handed to the handler.
    public let reported: UInt64
    /// Those that the log's limit held back.
    public let suppressed: UInt64

    /// `20000 uncaught errors (20 reported, 19980 held back)`.
    public var description: String {
        "\(reported &+ suppressed) uncaught errors (\(reported) reported, \(suppressed) held back)"
    }

    static let none = Self(reported: 0, suppressed: 0)
}

/// Where a runtime's errors go that nobody awaits: they are told from mere ends, counted, and
/// handed to the handler.
final class UncaughtErrors: Sendable {
    private let handler: UncaughtErrorHandler
    private let logger: Logger
    private let shutdown: Shutdown
    private let reported = Atomic<UInt64>(0)
    private let suppressed = Atomic<UInt64>(0)
    private let hasShutDown = Atomic<Bool>(false)
    /// 20 lines a second: enough to see what it is, too few to fill a disk.
    private let limit = Guarded(ReportLimit(count: 20, nanoseconds: 1_000_000_000))

    /// This code, or the code that made its task, is called by a handler.
    @TaskLocal private static var isHandling = false

    init(_ handler: UncaughtErrorHandler, shutdown: Shutdown, logger: Logger) {
        self.handler = handler
        self.shutdown = shutdown
        self.logger = logger
    }

    var counts: UncaughtErrorCounts {
        UncaughtErrorCounts(
            reported: reported.load(ordering: .relaxed),
            suppressed: suppressed.load(ordering: .relaxed)
        )
    }

    /// Whether the handler has ended the run.
    var hasEndedRun: Bool { hasShutDown.load(ordering: .relaxed) }

    /// Takes the error of a plain task, on the thread on which it was met.
    func take(
        _ error: any Error,
        task: String?,
        id: UInt64,
        wasCancelled: Bool,
        isHandlers: Bool
    ) {
        guard !isEnd(error, wasCancelled: wasCancelled) else { return }
        let name = task.map { "task '\($0)'" } ?? "task \(id)"
        report(
            UncaughtError(
                "\(name): threw, and nobody awaits it: \(error)",
                error,
                task: task,
                taskID: id
            ),
            isHandlers: isHandlers
        )
    }

    /// Takes the error of a spawned task, within it.
    func take(_ error: any Error, ofSpawned name: String, id: UInt64?) {
        guard !isEnd(error, wasCancelled: Task.isCancelled) else { return }
        report(
            UncaughtError(
                "\(name): the spawned task threw: \(error)",
                error,
                task: name,
                taskID: id
            )
        )
    }

    /// Takes the error of a connection's handler, within its task.
    ///
    /// A reset by the peer is none.
    func take(_ error: any Error, of channel: StreamChannel) {
        guard !isEnd(error, wasCancelled: false) else { return }
        if let error = error as? NetworkError, error.kind == .reset,
            error.connection == channel.id
        {
            // It is the peer's doing, and whoever is hostile could fill a disk with it.
            return logger.debug("\(channel): ended by its peer: \(error)")
        }
        report(
            UncaughtError(
                "\(channel): the handler threw: \(error)",
                error,
                task: Task.name,
                taskID: TaskHook.currentID,
                connection: "\(channel)"
            )
        )
    }

    /// A cancellation is how a task ends that was cancelled, and no error while a shutdown ends
    /// what is left.
    private func isEnd(_ error: any Error, wasCancelled: Bool) -> Bool {
        error.isCancellation && (wasCancelled || shutdown.phase != .running)
    }

    private func report(_ error: UncaughtError, isHandlers: Bool = false) {
        guard !isHandlers, !Self.isHandling else {
            return log(error, prefix: "the handler of uncaught errors has failed: ")
        }
        switch handler.action {
        case .log: log(error)
        case .shutDown:
            hasShutDown.store(true, ordering: .relaxed)
            log(error)
            shutdown.request(reason: "an uncaught error")
        case .call(let handle):
            reported.wrappingAdd(1, ordering: .relaxed)
            TaskHook.asHandler {
                Self.$isHandling.withValue(true) { handle(error) }
            }
        }
    }

    private func log(_ error: UncaughtError, prefix: String = "") {
        guard let heldBackCount = limit.withLock({ $0.admit(MonotonicClock.now) }) else {
            suppressed.wrappingAdd(1, ordering: .relaxed)
            return
        }
        reported.wrappingAdd(1, ordering: .relaxed)
        let before = heldBackCount > 0 ? " (\(heldBackCount) more were held back before)" : ""
        logger.error("\(prefix)\(error.message)\(before)")
    }
}

extension Error {
    /// Whether it says that a task was cancelled, or wraps nothing but errors that do.
    var isCancellation: Bool {
        if self is CancellationError { return true }
        guard let error = self as? NetworkError else { return false }
        return error.errno == .canceled
            || !error.causes.isEmpty && error.causes.allSatisfy(\.isCancellation)
    }
}
