// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem

/// Something that comes once, and that tasks wait for: each may be cancelled without the others.
///
/// Reaching it against a cancel: who takes the continuation out of the list under the lock resumes
/// it. A cancel before the wait is in the list finds nothing, and the wait looks for it there.
final class Milestone: Sendable {
    private struct State {
        var isReached = false
        var waiters: [UInt64: UnsafeContinuation<Bool, Never>] = [:]
        var lastWaiter: UInt64 = 0
    }

    private let state = Guarded(State())

    /// Lets everybody go on; a second time changes nothing.
    ///
    /// Any thread.
    func reach() {
        let waiters = state.withLock { state in
            state.isReached = true
            defer { state.waiters = [:] }
            return state.waiters.values
        }
        for waiter in waiters { waiter.resume(returning: true) }
    }

    /// Waits for it.
    ///
    /// - Throws: `CancellationError` when the calling task is cancelled, also when it has come.
    func wait() async throws {
        let id = state.withLock { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
        let isReached = await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                let isOver = state.withLock { state in
                    let isOver = state.isReached || Task.isCancelled
                    if !isOver { state.waiters[id] = continuation }
                    return isOver
                }
                if isOver { continuation.resume(returning: !Task.isCancelled) }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: id) }?.resume(returning: false)
        }
        if !isReached { throw CancellationError() }
    }
}
