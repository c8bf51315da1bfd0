// SPDX-License-Identifier: Apache-2.0
internal import Synchronization

/// Somebody's interest in some signals, which ends with this object.
final class SignalSubscription: Sendable {
    let mailbox: SignalMailbox
    private let onEnd: @Sendable () -> Void

    init(_ mailbox: SignalMailbox, onEnd: @escaping @Sendable () -> Void) {
        self.mailbox = mailbox
        self.onEnd = onEnd
    }

    deinit { onEnd() }
}

/// The signals that have come for one subscription: one bit a number, so it can't overflow.
final class SignalMailbox: Sendable {
    fileprivate struct State {
        var pending: UInt64 = 0
        var isEnded = false
        var waiters: [(id: UInt64, continuation: UnsafeContinuation<Signal?, Never>)] = []
        var lastWaiter: UInt64 = 0
    }

    private let state = Mutex(State())

    /// Any thread.
    func deliver(_ signal: Signal) {
        let waiter = state.withLock { state -> UnsafeContinuation<Signal?, Never>? in
            if !state.waiters.isEmpty { return state.waiters.removeFirst().continuation }
            state.pending |= 1 << UInt64(signal.rawValue)
            return nil
        }
        waiter?.resume(returning: signal)
    }

    /// Ends the sequence, behind what is still to be taken.
    ///
    /// Any thread.
    func finish() {
        let waiters = state.withLock { state in
            state.isEnded = true
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.continuation.resume(returning: nil) }
    }

    func next() async -> Signal? {
        let id = state.withLock { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
        return await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                // A cancellation that comes before the lock is seen here, one after it there.
                let answer = state.withLock { $0.answer(id, continuation, Task.isCancelled) }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            let waiter = state.withLock { state in
                state.waiters.firstIndex { $0.id == id }.map { state.waiters.remove(at: $0) }
            }
            waiter?.continuation.resume(returning: nil)
        }
    }
}

extension SignalMailbox.State {
    /// What a reader gets at once; nil when it is to wait, and is noted down.
    fileprivate mutating func answer(
        _ id: UInt64,
        _ continuation: UnsafeContinuation<Signal?, Never>,
        _ isCancelled: Bool
    ) -> Signal?? {
        if isCancelled { return .some(nil) }
        if pending != 0 {
            let number = pending.trailingZeroBitCount
            pending &= pending - 1
            return Signal(rawValue: Int32(number))
        }
        if isEnded { return .some(nil) }
        waiters.append((id, continuation))
        return nil
    }
}
