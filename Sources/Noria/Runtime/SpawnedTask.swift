// SPDX-License-Identifier: Apache-2.0

/// A task that a runtime started: it can be cancelled, and waited for.
public final class SpawnedTask: Sendable {
    /// The name that it was given.
    public let name: String
    /// Its number: counted from 1 over the life of the process, and 0 for one that never began.
    public let id: UInt64
    private let task: Task<Void, Never>?

    init(name: String, id: UInt64, task: Task<Void, Never>?) {
        self.name = name
        self.id = id
        self.task = task
    }

    /// Cancels it; what it then throws as a `CancellationError` is not logged.
    ///
    /// Any thread.
    public func cancel() { task?.cancel() }

    /// Waits until it has ended, however that was: what it threw has been logged.
    ///
    /// A cancellation of the caller does not end the wait.
    public func finished() async { await task?.value }
}
