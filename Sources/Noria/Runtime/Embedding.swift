// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaEngine
internal import NoriaSystem
internal import SystemPackage

/// Runs `body` beside a runtime that takes nothing over: for a program with a main of its own.
///
/// Every loop, the first too, has a thread of its own until this returns. Left to the program are
/// the main thread, the executors of the process, its signals (none is caught or ignored, see
/// `Runtime.signals`), Dispatch and the limit of descriptors.
///
/// `body` runs in the caller's isolation: on the first loop when there is none, else on its actor,
/// as does the main actor where the program has it. What it calls without an isolation, its child
/// tasks, and the handlers of connections prefer a loop (`withTaskExecutorPreference`); so does
/// what `spawn` starts. A plain `Task { }` does not inherit that, and runs where the program's
/// tasks run; the runtime works from there too, at two posts between threads an operation.
/// `Runtime.current` is this one everywhere in the process. Who prefers a loop and is neither of
/// the body nor spawned should end before it: else it waits for the next runtime.
///
/// When `body` has ended, spawned tasks have the settle time before they are cancelled, and are
/// waited for; then the loops end and their threads are joined. A deadline ends no process here:
/// what has not ended by then is logged, and waited for all the same. Cancelling the calling task
/// cancels `body`, as does a `shutdown.request` once the listeners have drained.
///
/// There is one runtime in a process at a time. One after the other works, and `Runtime.run` later,
/// if the program has not used its main actor before; else that throws `.tooLate`.
///
/// - Throws: `RuntimeError` when it can't start, `.alreadyRunning` with the place where the one that
///   runs began; else what `body` throws.
public func withRuntime<Value>(
    _ configuration: RuntimeConfiguration = .production,
    file: StaticString = #fileID,
    line: UInt = #line,
    _ body: (Runtime) async throws -> Value
) async throws -> Value {
    if let seat = WorkerSeat.take() { await Worker(seat).embed(configuration) }
    let embedding = try await Embedding.start(configuration, origin: "\(file):\(line)")
    let result = await embedding.run(isolation: #isolation, body)
    await embedding.end(after: result)
    return try result.get()
}

/// A runtime on threads of its own, and the thread of its first loop, which begins and ends the
/// others: what blocks there blocks no caller.
private struct Embedding {
    let runtime: Runtime
    private let thread: Thread.Joinable
    /// Who waits for the end, written before the first loop is told to finish.
    private let waiter: Waiter

    private typealias Waiter = Guarded<UnsafeContinuation<Void, Never>?>
    private typealias Starting = UnsafeContinuation<Result<Runtime, RuntimeError>, Never>

    // MARK: The caller's side

    static func start(
        _ configuration: RuntimeConfiguration,
        origin: String
    ) async throws(RuntimeError) -> Embedding {
        try Runtime.claim(origin)
        do throws(RuntimeError) {
            let configuration = try configuration.withEnvironment()
            let waiter = Waiter(nil)
            var thread: Thread.Joinable?
            let started = await withUnsafeContinuation { (starting: Starting) in
                do throws(Errno) {
                    thread = try Thread.startJoinable { turn(configuration, starting, waiter) }
                } catch {
                    let text = "no thread for loop 0: \(error); a higher 'ulimit -u'"
                    starting.resume(returning: .failure(RuntimeError(.backendUnavailable(text))))
                }
            }
            switch (started, thread) {
            case (.success(let runtime), let thread?):
                Runtime.setCurrent(runtime)
                return Embedding(runtime: runtime, thread: thread, waiter: waiter)
            case (.failure(let error), let thread):
                thread?.join()
                throw error
            case (.success, nil): preconditionFailure("only a thread starts a runtime")
            }
        } catch {
            Runtime.setCurrent(nil)
            throw error
        }
    }

    /// Runs the body in a child task: a shutdown that cancels it cancels its caller no more than
    /// a time-out would.
    func run<Value>(
        isolation: isolated (any Actor)?,
        _ body: (Runtime) async throws -> Value
    ) async -> Result<Value, any Error> {
        let (runtime, task) = (runtime, BodyTask())
        runtime.beginShutdown { task.cancel() }
        return await withoutActuallyEscaping(body) { body in
            // SAFETY: the child runs in the caller's isolation and is awaited here, so neither
            // the body nor its value crosses to anyone else.
            let body = Unchecked(body)
            return await withTaskGroup(of: Unchecked<Result<Value, any Error>>.self) { group in
                let home = runtime.eventLoops.main.taskExecutor
                if isolation == nil {
                    // An immediate one would begin here, and take no hop to the loop afterwards.
                    group.addTask(name: "noria body", executorPreference: home) {
                        await task.run(body, runtime)
                    }
                } else {
                    group.addImmediateTask(name: "noria body", executorPreference: home) {
                        _ = isolation
                        return await task.run(body, runtime)
                    }
                }
                guard let result = await group.next() else {
                    preconditionFailure("the group's one child has a result")
                }
                return result.value
            }
        }
    }

    func end<Value>(after result: Result<Value, any Error>) async {
        let exitCode = runtime.exitCode(of: result)
        await withUnsafeContinuation { continuation in
            waiter.withLock { $0 = continuation }
            runtime.eventLoops.main.post { [loop = runtime.eventLoops.main] in loop.finish() }
        }
        // They are in their last instructions.
        thread.join()
        TaskHook.end()
        let report = runtime.shutdown.end(exitCode, runtime.uncaughtErrors.counts)
        runtime.configuration.logger.info("ended: \(report)")
        runtime.endReports()
        Runtime.setCurrent(nil)
    }

    // MARK: The first loop's thread

    private static func turn(
        _ configuration: RuntimeConfiguration,
        _ starting: Starting,
        _ waiter: Waiter
    ) {
        Thread.name("noria loop 0")
        do throws(RuntimeError) {
            let (backend, report) = try BackendReport.choose(configuration.backend)
            let runtime = Runtime(
                configuration: configuration,
                backend: report,
                eventLoops: try loops(configuration.loops.count),
                originalDescriptorLimit: RaisedDescriptorLimit.untouched.original,
                isEmbedded: true
            )
            let (loops, loop) = (runtime.eventLoops, runtime.eventLoops.main)
            let budget = TurnBudget(configuration.loops)
            let threads = try LoopThreads.start(loops, report.kind, budget, isSharing: false)
            do throws(Errno) { _ = try loop.begin(engine: Engine(backend: backend)) } catch {
                threads.end()
                throw RuntimeError(
                    .backendUnavailable("\(report.kind) can't watch our own eventfd: \(error)")
                )
            }
            runtime.watchdog.begin()
            runtime.debugWatch?.begin(loops)
            runtime.log.begin()
            TaskHook.begin(runtime)
            runtime.logStart()
            starting.resume(returning: .success(runtime))
            loop.run(budget)
            runtime.shutdown.closeLeftovers(runtime.debugWatch)
            threads.end()
            loop.end()
            runtime.watchdog.end()
            runtime.debugWatch?.end(loops)
            waiter.withLock { $0.take() }?.resume()
        } catch { starting.resume(returning: .failure(error)) }
    }

    private static func loops(_ count: Int) throws(RuntimeError) -> EventLoopGroup {
        do throws(Errno) { return try ExecutorInstallation.embeddedLoops(count) } catch {
            throw RuntimeError(
                .backendUnavailable("no eventfd for a loop: \(error); raise 'ulimit -n'")
            )
        }
    }
}

/// The body's task, which a shutdown on another thread may cancel while it is there.
private final class BodyTask: Sendable {
    private let state = Guarded<(task: UnsafeCurrentTask?, isCancelled: Bool)>((nil, false))

    func run<Value>(
        _ body: Unchecked<(Runtime) async throws -> Value>,
        _ runtime: Runtime
    ) async -> Unchecked<Result<Value, any Error>> {
        let result = await result(of: body.value, runtime)
        await runtime.finishSpawned(after: result)
        return Unchecked(result)
    }

    private func result<Value>(
        of body: (Runtime) async throws -> Value,
        _ runtime: Runtime
    ) async -> Result<Value, any Error> {
        // A self-test too, as in `Runtime.run`; a task of an actor goes back to it.
        guard await runtime.eventLoops.main.isReached() else {
            return .failure(RuntimeError(.tooLate("tasks run on another executor than ours")))
        }
        begin()
        defer { end() }
        do { return .success(try await body(runtime)) } catch { return .failure(error) }
    }

    private func begin() {
        withUnsafeCurrentTask { task in
            let isCancelled = state.withLock { state in
                state.task = task
                return state.isCancelled
            }
            if isCancelled { task?.cancel() }
        }
    }

    private func end() { state.withLock { $0.task = nil } }

    /// The lock is held meanwhile, so that the task is alive: a cancellation handler may not wait
    /// for it anyway.
    func cancel() {
        state.withLock { state in
            state.isCancelled = true
            state.task?.cancel()
        }
    }
}
