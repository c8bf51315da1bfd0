// SPDX-License-Identifier: Apache-2.0
internal import CNoria

/// How a task comes to the loop, waits on it, and lets others pass.
extension EventLoop {
    /// Operations that a job does without a wait before others have their turn: tokio's number.
    static let operationsPerJob = 128

    // MARK: Coming

    /// Whether the calling task runs on this loop and stays on it.
    ///
    /// Any thread. A task that prefers another executor may stand on our thread all the same, just
    /// after a `withTaskExecutorPreference` has ended, and leaves it in the middle of whatever it
    /// does next. A task of an actor goes back to the actor after each wait, and that may run
    /// anywhere by then. Asking costs 40 instructions for a task without a preference.
    ///
    /// When it is so, no other loop takes what the present job enqueues: the task itself may be
    /// enqueued again before it waits, when a preference has just ended.
    var isHome: Bool {
        // SAFETY: the executor is compared only, and lives as long as its loop: for ever.
        guard isCurrent, noria_task_stays_on(Unmanaged.passUnretained(tasks).toOpaque()) else {
            return false
        }
        keepJobs()
        return true
    }

    /// Runs an operation on this loop for a task that runs elsewhere, which then goes on where it
    /// was: one post there, one back.
    ///
    /// Any thread. It is the same task on both sides, so cancellation, its priority and its task
    /// locals need nobody to carry them.
    func bring<Value: Sendable>(
        isolation: isolated (any Actor)? = #isolation,
        _ operation: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        let result: Result<Value, any Error> = await bring {
            do { return .success(try await operation()) } catch { return .failure(error) }
        }
        return try result.get()
    }

    /// The same for what can't fail.
    func bring<Value: Sendable>(
        isolation: isolated (any Actor)? = #isolation,
        _ operation: @escaping @Sendable () async -> Value
    ) async -> Value {
        let home = EventLoop.current
        let value = await withTaskExecutorPreference(tasks) { @concurrent in
            assertArrived()
            return await operation()
        }
        // The end of a preference moves nobody; a task of an actor is back on it already.
        if isolation == nil { await Self.leave(for: home) }
        return value
    }

    /// Takes a task to its own executor, or to the loop that it came from when it has none.
    ///
    /// The only loop of a process that was taken over is where a task without a preference goes
    /// anyway.
    static func leave(for home: EventLoop?) async {
        if let home, !ExecutorInstallation.isOnlyLoop(home), noria_preferred_executor() == nil {
            await withTaskExecutorPreference(home.tasks) { @concurrent in home.assertArrived() }
        } else {
            await hop()
        }
    }

    @concurrent private static func hop() async { _ = noria_current_task() }

    /// Goes where the task prefers to be, and says whether that is here.
    @concurrent func isReached() async -> Bool { isCurrent }

    /// Makes sure that a hop is made, and has brought the task here.
    ///
    /// The compiler (6.3.1) leaves a hop out when nothing synchronous follows that could need it,
    /// as before a call of a function that runs where its caller does. So something opaque follows.
    @inline(never)
    private func assertArrived() { precondition(isCurrent, "a task was to come to \(self)") }

    // MARK: Waiting

    /// Begins an operation and waits for its end, open to cancellation: `interrupt` is posted then.
    ///
    /// Loop thread only. `begin` runs in one job with the park. Before the body of a cancellation
    /// handler the task of an actor changes its executor, and a turn may pass: what was begun
    /// before could end with nobody waiting, and what was checked before need not hold any more.
    func park<Value>(
        _ begin: (Parked<Value>) -> Void,
        onCancel interrupt: @escaping @Sendable () -> Void
    ) async -> Value {
        await withTaskCancellationHandler {
            await withUnsafeContinuation { begin(Parked($0, as: currentRole)) }
        } onCancel: {
            post(interrupt)
        }
    }

    // MARK: Letting others pass

    /// Before the next operation: a job that has done 128 without a wait stands back until the loop
    /// has looked at the kernel.
    ///
    /// Loop thread only. Where the kernel always has an answer at once a task never suspends, and
    /// nobody else would come to their turn. 128 is tokio's budget.
    @inline(__always)
    func standBackWhenSpent() async {
        if isBudgetSpent { await standBack() }
    }

    /// The same at once.
    ///
    /// Loop thread only.
    func standBack() async {
        await withUnsafeContinuation { continuation in
            let parked = Parked<Void>(continuation, as: currentRole)
            // What is posted is taken by the next turn, after this one has looked.
            post { parked.resume(returning: (), on: self) }
        }
    }
}

/// A task that waits, and as what it ran.
struct Parked<Value> {
    private let continuation: UnsafeContinuation<Value, Never>
    private let role: JobRole

    init(_ continuation: UnsafeContinuation<Value, Never>, as role: JobRole) {
        self.continuation = continuation
        self.role = role
    }

    /// Loop thread only.
    func resume(returning value: sending Value, on loop: EventLoop) {
        loop.resume(continuation, returning: value, as: role)
    }
}

/// Which task runs: for comparing, never for following.
struct TaskIdentity: Equatable {
    private let address: UInt

    static var current: TaskIdentity? {
        guard let address = noria_current_task() else { return nil }
        return TaskIdentity(address: UInt(bitPattern: address))
    }
}
