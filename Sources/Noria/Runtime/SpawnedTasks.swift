// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
internal import Synchronization

/// The tasks that a runtime has spawned and that have not ended.
final class SpawnedTasks: Sendable {
    /// See `Runtime.onShutdown`.
    struct EndAction: Sendable {
        let name: String
        let run: @Sendable () async throws -> Void
    }

    private struct State {
        var isBodyRunning = true
        /// What is to be done at the end, the last of them first, and which of it is under way.
        var endActions: [EndAction] = []
        var endAction: String?
        /// The body and all tasks have ended: nothing begins any more.
        var isOver = false
        var isCancelled = false
        var tasks: [UInt64: (name: String, task: Task<Void, Never>?)] = [:]
        var waiter: UnsafeContinuation<Void, Never>?
    }

    private let state = Guarded(State())
    private static let lastID = Atomic<UInt64>(0)

    /// A number for a new task; nil when all is over.
    func begin(_ name: String) -> UInt64? {
        state.withLock { state in
            guard !state.isOver else { return nil }
            let id = Self.lastID.wrappingAdd(1, ordering: .relaxed).newValue
            state.tasks[id] = (name, nil)
            return id
        }
    }

    /// Makes a task known, which may have ended by now.
    func adopt(_ task: Task<Void, Never>, _ id: UInt64) {
        let isCancelled = state.withLock { state in
            state.tasks[id]?.task = task
            return state.isCancelled
        }
        if isCancelled { task.cancel() }
    }

    func end(_ id: UInt64) {
        let waiter = state.withLock { state -> UnsafeContinuation<Void, Never>? in
            state.tasks[id] = nil
            guard state.tasks.isEmpty, let waiter = state.waiter.take() else { return nil }
            state.isOver = true
            return waiter
        }
        waiter?.resume()
    }

    /// The names of those that have not ended.
    var names: [String] { cancellable + state.withLock { [$0.endAction].compactMap(\.self) } }

    /// The same without what is done at the end, which is not cancelled.
    var cancellable: [String] {
        state.withLock { state in
            (state.isBodyRunning ? ["body"] : [])
                + state.tasks.sorted { $0.key < $1.key }.map(\.value.name)
        }
    }

    func add(_ action: EndAction) { state.withLock { $0.endActions.append(action) } }

    /// What is to be done next at the end; the one before it has ended.
    func nextEndAction() -> EndAction? {
        state.withLock { state in
            let next = state.endActions.popLast()
            state.endAction = next?.name
            return next
        }
    }

    /// Cancels all, those to come included.
    func cancel() {
        let tasks = state.withLock { state in
            state.isCancelled = true
            return state.tasks.sorted { $0.key < $1.key }.compactMap(\.value.task)
        }
        // Outside of the lock: a cancellation handler may spawn.
        for task in tasks { task.cancel() }
    }

    /// Whether there are tasks to wait for.
    func bodyReturned() -> Bool {
        state.withLock { state in
            state.isBodyRunning = false
            state.isOver = state.tasks.isEmpty
            return !state.isOver
        }
    }

    func waitForAll() async {
        await withUnsafeContinuation { continuation in
            let isOver = state.withLock { state in
                if state.tasks.isEmpty { state.isOver = true } else { state.waiter = continuation }
                return state.isOver
            }
            if isOver { continuation.resume() }
        }
    }
}
