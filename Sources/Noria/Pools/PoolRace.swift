// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem

/// A result that is the first of two: the job's, or the time-out's.
final class PoolRace<Value: Sendable>: Sendable {
    private enum State {
        case open
        case awaited(UnsafeContinuation<Result<Value, any Error>, Never>)
        case finished(Result<Value, any Error>)
        case over
    }

    private let state = Guarded(State.open)

    /// False when another was first.
    ///
    /// Any thread.
    @discardableResult
    func finish(_ result: Result<Value, any Error>) -> Bool {
        let (isFirst, waiter) = state.withLock {
            state -> (Bool, UnsafeContinuation<Result<Value, any Error>, Never>?) in
            switch state {
            case .open:
                state = .finished(result)
                return (true, nil)
            case .awaited(let continuation):
                state = .over
                return (true, continuation)
            case .finished, .over: return (false, nil)
            }
        }
        waiter?.resume(returning: result)
        return isFirst
    }

    /// Once.
    func result() async -> Result<Value, any Error> {
        await withUnsafeContinuation { continuation in
            let result = state.withLock { state -> Result<Value, any Error>? in
                guard case .finished(let result) = state else {
                    state = .awaited(continuation)
                    return nil
                }
                return result
            }
            if let result { continuation.resume(returning: result) }
        }
    }
}

/// A timer on a loop, set and ended from any thread.
///
/// SAFETY (`@unchecked Sendable`): `id` and `action` belong to the loop's thread.
final class PoolTimer: TimerOwner, @unchecked Sendable {
    private let loop: EventLoop
    private var action: (@Sendable () -> Void)?
    private var id: TimerID?

    init(_ length: Duration, on loop: EventLoop, _ action: @escaping @Sendable () -> Void) {
        self.loop = loop
        self.action = action
        let deadline = MonotonicClock.now &+ UInt64(length.nanoseconds)
        loop.perform {
            guard self.action != nil else { return }
            self.id = loop.timers.add(deadline: deadline, owner: self)
        }
    }

    func end() {
        loop.perform { [self] in
            action = nil
            if let id = id.take() { loop.timers.cancel(id) }
        }
    }

    func timerFired(_ context: UInt) {
        id = nil
        action.take()?()
    }
}
