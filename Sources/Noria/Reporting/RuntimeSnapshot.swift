// SPDX-License-Identifier: Apache-2.0

/// What a runtime is and does, at one moment.
public struct RuntimeSnapshot: Codable, Sendable {
    /// Which backend runs, and why not another.
    public let backend: BackendReport
    /// The loops, in their order.
    public let eventLoops: [EventLoopSnapshot]
    /// The loops of groups that `Runtime.watch` watches, as long as they run; none are the default.
    public let watchedLoops: [WatchedLoopSnapshot]
    /// The pool for calls that block.
    public let blocking: ThreadPoolSnapshot
    /// The pool for calls that compute.
    public let compute: ThreadPoolSnapshot
    /// The worker processes; nil when nobody has asked for them yet.
    public let processes: ProcessPoolSnapshot?
    /// The live tasks, as `Runtime.tasks()` lists them; 0 when they are not tracked.
    public let taskCount: Int
    /// The errors that nobody awaited.
    public let uncaughtErrors: UncaughtErrorCounts
    /// The connections that were refused for the PROXY header that they lacked.
    public let proxyHeaders: ProxyHeaderCounts
    /// How far the end has come.
    public let phase: Shutdown.Phase
}

extension Runtime {
    /// What the runtime does now; no loop stops for it.
    ///
    /// Any thread.
    public func snapshot() -> RuntimeSnapshot {
        RuntimeSnapshot(
            backend: backend,
            eventLoops: eventLoops.map { $0.snapshot() },
            watchedLoops: watchdog.heartbeats.map { $0.snapshot() },
            blocking: blocking.snapshot(),
            compute: compute.snapshot(),
            processes: processPoolSnapshot,
            taskCount: TaskHook.count,
            uncaughtErrors: uncaughtErrors.counts,
            proxyHeaders: proxyHeaderRefusals.counts,
            phase: shutdown.phase
        )
    }
}
