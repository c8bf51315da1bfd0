// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaSystem

extension Runtime {
    /// Starts a task that lives as long as the runtime, at most.
    ///
    /// It runs where `body` is isolated, else on `loop`, else on the caller's loop (embedded: the
    /// first one, when the caller has none, and it keeps to it). What it throws is handed to the
    /// `UncaughtErrorHandler` under its name. A shutdown waits for it: when the listeners have
    /// drained it has the settle time (2 s, at most a tenth of the deadline) to return before it is
    /// cancelled, and `Runtime.run` returns when it has ended. A `CancellationError` is no error then, nor after
    /// `cancel()`. Once the runtime has ended nothing is started, and that is logged.
    ///
    /// Any thread.
    @discardableResult
    public func spawn(
        name: String,
        on loop: EventLoop? = nil,
        _ body: sending @escaping @isolated(any) () async throws -> Void
    ) -> SpawnedTask {
        guard let id = spawned.begin(name) else { return refuse(name) }
        // Taken over, tasks are on the loops without a preference, and another may take them.
        let home = loop ?? (isEmbedded ? EventLoop.current ?? eventLoops.main : nil)
        TaskHook.beginOwn()
        let task = Task(name: name, executorPreference: home?.taskExecutor) { [self] in
            do { try await body() } catch {
                uncaughtErrors.take(error, ofSpawned: name, id: TaskHook.currentID)
            }
            spawned.end(id)
        }
        TaskHook.endOwn()
        spawned.adopt(task, id)
        return SpawnedTask(name: name, id: id, task: task)
    }

    /// Runs `body` at once and then every `period`, one run at a time, until a shutdown begins.
    ///
    /// The schedule is fixed by its begin, so it does not drift: a run that takes longer than the
    /// period skips the ticks that it missed. What a run throws is handed to the
    /// `UncaughtErrorHandler`, and the next comes as planned. A shutdown ends the waiting at once and
    /// treats a run under way as `spawn` does. A period under 1 ms is taken for 1 ms.
    ///
    /// Any thread.
    @discardableResult
    public func spawn(
        name: String,
        every period: Duration,
        _ body: @escaping @Sendable () async throws -> Void
    ) -> SpawnedTask {
        let shutdown = shutdown
        return spawn(name: name) { [self] in
            let begin = ContinuousClock.now
            let schedule = Schedule(every: period)
            while !Task.isCancelled, shutdown.phase == .running {
                do { try await body() } catch {
                    uncaughtErrors.take(error, ofSpawned: name, id: TaskHook.currentID)
                }
                let next = begin + schedule.tick(after: begin.duration(to: .now))
                // The wait ends by the tick, or else by the shutdown.
                do {
                    try await withDeadline(next, name: name) { try await shutdown.requested() }
                } catch is TimeoutError { continue }
            }
        }
    }

    private func refuse(_ name: String) -> SpawnedTask {
        configuration.logger.error("\(name): not started: the runtime has ended")
        return SpawnedTask(name: name, id: 0, task: nil)
    }

    /// Waits for the spawned tasks and the pools when the body has returned; that begins a shutdown
    /// if there is something to wait for.
    func finishSpawned<Value>(after result: Result<Value, any Error>) async {
        let reason =
            switch result {
            case .success: "the body returned"
            case .failure: "the body threw"
            }
        shutdown.bodyEnded(reason)
        if spawned.bodyReturned() {
            shutdown.request(reason: reason)
            await spawned.waitForAll()
        }
        await shutdown.waitForDrain()
        await runEndActions(reason)
        await closeProcesses()
        await closePools(reason)
        await finishPlainTasks()
    }
}

/// When something that is done again and again is due.
struct Schedule {
    private let period: Int64

    init(every period: Duration) { self.period = max(1_000_000, period.nanoseconds) }

    /// The first tick after a moment, both counted from the begin; missed ones are left out.
    func tick(after moment: Duration) -> Duration {
        let count = moment.nanoseconds / period
        let (next, overflow) = period.multipliedReportingOverflow(by: count + 1)
        return .nanoseconds(overflow ? .max : next)
    }
}
