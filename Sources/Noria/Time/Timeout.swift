// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem

/// A step was not done in its time; says which and how long that was.
public struct TimeoutError: Error, CustomStringConvertible, Sendable {
    /// The step, as it was named.
    public let name: String
    /// The time that it had.
    public let duration: Duration

    /// "login: not done after 5.0 seconds".
    public var description: String { "\(name): not done after \(duration)" }
}

/// Runs `body`, and cancels it when it is not done after `duration`.
///
/// The body is awaited however long it takes to end, and a value that comes after all is kept.
/// Costs one child task and one timer in the loop's wheel; nothing wakes when it is done in time.
///
/// - Throws: `TimeoutError` when the body ends by that cancellation, else what the body throws.
public func withTimeout<Value>(
    _ duration: Duration,
    name: String = #function,
    _ body: () async throws -> Value
) async throws -> Value {
    let deadline = MonotonicClock.now &+ UInt64(duration.nanoseconds)
    return try await withTimer(deadline, duration, name, isolation: #isolation, body)
}

/// Runs `body`, and cancels it when it is not done by `deadline`: see `withTimeout`.
///
/// - Throws: `TimeoutError` when the body ends by that cancellation, else what the body throws.
public func withDeadline<Value>(
    _ deadline: ContinuousClock.Instant,
    name: String = #function,
    _ body: () async throws -> Value
) async throws -> Value {
    let duration = ContinuousClock.now.duration(to: deadline)
    let instant = MonotonicClock.now &+ UInt64(duration.nanoseconds)
    return try await withTimer(instant, duration, name, isolation: #isolation, body)
}

private func withTimer<Value>(
    _ deadline: UInt64,
    _ duration: Duration,
    _ name: String,
    isolation: isolated (any Actor)?,
    _ body: () async throws -> Value
) async throws -> Value {
    let timer = TimeoutTimer(deadline)
    do {
        return try await withoutActuallyEscaping(body) { body in
            // SAFETY: the child runs in the caller's isolation and is awaited here, so neither
            // the body nor its value crosses to anyone else.
            let body = Unchecked(body)
            return try await withThrowingTaskGroup(of: Unchecked<Value>.self) { group in
                group.addImmediateTask {
                    _ = isolation
                    timer.begin()
                    defer { timer.end() }
                    return Unchecked(try await body.value())
                }
                guard let result = try await group.next() else {
                    preconditionFailure("the group has one child")
                }
                return result.value
            }
        }
    } catch is CancellationError where timer.hasFired {
        throw TimeoutError(name: name, duration: duration)
    }
}

/// Cancels the task that began it, once.
///
/// SAFETY (`@unchecked Sendable`): the loop's thread alone touches it while the timer is in its
/// queue; the task is alive from `begin` to `end`, which it calls itself.
private final class TimeoutTimer: TimerOwner, @unchecked Sendable {
    private let deadline: UInt64
    private var loop: EventLoop?
    private var id: TimerID?
    private var task: UnsafeCurrentTask?
    private(set) var hasFired = false

    init(_ deadline: UInt64) { self.deadline = deadline }

    func begin() {
        guard let loop = EventLoop.current else { return }
        withUnsafeCurrentTask { task = $0 }
        self.loop = loop
        id = loop.timers.add(deadline: deadline, owner: self)
    }

    func end() {
        task = nil
        guard let id = id.take(), let loop else { return }
        loop.timers.cancel(id)
    }

    func timerFired(_ context: UInt) {
        id = nil
        hasFired = true
        task?.cancel()
    }
}

private struct Unchecked<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
}
