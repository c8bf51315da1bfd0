// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaSystem

/// What is done at the end of a runtime, and what is said of those that do not end.
extension Runtime {
    /// Has something done at the end, for what outlives connections: a database's pool, a lease.
    ///
    /// That is after the drain and the body, before the pools end, the last registered first.
    /// Each runs in a task of its own, which a shutdown that has already cancelled its tasks does not
    /// cancel; the deadline is for it, too. What it throws is handed to the `UncaughtErrorHandler`,
    /// stands in the report, and keeps none of the others. One that is registered when all have run,
    /// and the pools end, is not run.
    ///
    /// Any thread.
    public func onShutdown(
        name: String,
        _ action: @escaping @Sendable () async throws -> Void
    ) {
        spawned.add(SpawnedTasks.EndAction(name: name, run: action))
    }

    /// Runs the actions, each named and timed in the log; where there are any, that is a shutdown, and
    /// its deadline holds for them.
    func runEndActions(_ reason: String) async {
        while let action = spawned.nextEndAction() {
            shutdown.request(reason: reason)
            let began = MonotonicClock.now
            TaskHook.beginOwn()
            let task = Task(name: action.name, executorPreference: homeOfEnd) { [self] in
                do { try await action.run() } catch {
                    uncaughtErrors.take(error, ofSpawned: action.name, id: TaskHook.currentID)
                    shutdown.noteFailed("\(action.name): \(error)")
                }
            }
            TaskHook.endOwn()
            await task.value
            let length = Duration.nanoseconds(Int64(clamping: MonotonicClock.now &- began))
            configuration.logger.info(
                "shutdown: '\(action.name)' done in \(length.milliseconds) ms"
            )
        }
    }

    /// Taken over, tasks are on the loops without a preference.
    private var homeOfEnd: (any TaskExecutor)? { isEmbedded ? eventLoops.main.taskExecutor : nil }

    /// Has the shutdown reach what is in hand here: `cancelBody` cancels the body.
    func beginShutdown(_ cancelBody: @escaping @Sendable () -> Void) {
        shutdown.on { actions in
            actions.cancellable = { [self] in spawned.cancellable }
            actions.cancelTasks = { [self] in
                cancelBody()
                spawned.cancel()
            }
            actions.cancelLate = { [self] in cancelPlainTasks() }
            actions.unended = { [self] in unended() }
            actions.left = { [self] in left() }
        }
    }

    /// How much has not ended, in a few words for a line of the log: `left: 214 connections, 12
    /// tasks, the oldest task 7 'poller', 1200 ms old`.
    ///
    /// Any thread.
    private func left() -> String {
        let connections = eventLoops.reduce(0) { $0 + $1.snapshot().connectionsOpen }
        let jobs = poolWatch.pools.reduce(0) { $0 + $1.unfinished.count }
        // Embedded, no task is listed but those that were spawned.
        let (oldest, more) = isEmbedded ? ([], 0) : TaskHook.oldest(1)
        let taskCount = isEmbedded ? spawned.names.count : oldest.count + more
        let kinds = [(connections, "connection"), (taskCount, "task"), (jobs, "job")]
        let counts = kinds.filter { $0.0 > 0 }
            .map { count, kind in "\(count) \(kind)\(count == 1 ? "" : "s")" }
        guard !counts.isEmpty else { return "nothing left" }
        return "left: \((counts + oldest.map { "the oldest \($0)" }).joined(separator: ", "))"
    }

    /// What has not ended, in words: the loops that are in one turn, the jobs of the pools, the oldest
    /// tasks, and the connections.
    ///
    /// Any thread; it takes no lock that is held for long.
    func unended() -> [String] {
        let now = MonotonicClock.now
        // Those of watched groups, too.
        let turns =
            eventLoops.map { ("\($0)", $0.turnLog.presentTurn(now), $0.turnLog.threadID) }
            + watchdog.heartbeats.map {
                ("\($0)", $0.turnLog.presentTurn(now), $0.turnLog.threadID)
            }
        let loops = turns.compactMap { name, length, thread -> String? in
            guard length > 100_000_000 else { return nil }
            let call = KernelWait.text(ofThread: thread).map { ", its thread \($0)" }
            return "\(name): \(length / 1_000_000) ms in one turn\(call ?? "")"
        }
        let jobs = poolWatch.pools.flatMap(\.unfinished)
        // Embedded, the body is a child of a task of the program's, and no task is ours to list.
        guard !isEmbedded else { return spawned.names + shutdown.undrained + jobs + loops }
        let (tasks, more) = TaskHook.oldest(Self.namedCount)
        let connections = eventLoops.compactMap { loop -> String? in
            let count = loop.snapshot().connectionsOpen
            return count == 0 ? nil : "\(count) connections of \(loop)"
        }
        return loops + shutdown.undrained + jobs.prefix(Self.namedCount) + tasks
            + (more > 0 ? ["\(more) more tasks"] : []) + connections
    }

    private static let namedCount = 20
}
