// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem
internal import Synchronization

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
/// Off the loops it costs a second child, which sleeps.
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
            return try await withThrowingTaskGroup(of: Unchecked<Value>?.self) { group in
                group.addImmediateTask {
                    _ = isolation
                    timer.begin()
                    defer { timer.end() }
                    return Unchecked(try await body.value())
                }
                // Off the loops there is no wheel to put a timer in: a second child sleeps.
                if EventLoop.current == nil {
                    group.addTask {
                        let left = Int64(clamping: deadline) - Int64(clamping: MonotonicClock.now)
                        try? await Task.sleep(for: .nanoseconds(left))
                        if !Task.isCancelled { timer.fire() }
                        return nil
                    }
                }
                while let result = try await group.next() {
                    guard let result else { continue }
                    group.cancelAll()
                    return result.value
                }
                preconditionFailure("the group's first child has a value, or throws")
            }
        }
    } catch is CancellationError where timer.hasFired {
        throw TimeoutError(name: name, duration: duration)
    }
}

/// Cancels the task that began it, once.
///
/// It begins on one thread and may end on another, since a task may go on elsewhere, while the
/// timer fires on the loop's. So one of the two wins: the one that takes `phase` from `armed`. The
/// end waits for a firing under way, a few instructions, so that the task is alive while it is
/// cancelled.
///
/// SAFETY (`@unchecked Sendable`): `task` is written before the timer can fire, and read by the
/// winner alone; `loop` belongs to the child that begins and ends; `id` to the loop's thread.
private final class TimeoutTimer: TimerOwner, @unchecked Sendable {
    private let deadline: UInt64
    private let phase = Atomic<Phase>(.armed)
    private var loop: EventLoop?
    private var id: TimerID?
    private var task: UnsafeCurrentTask?

    private enum Phase: UInt8, AtomicRepresentable { case armed, firing, fired, ended }

    init(_ deadline: UInt64) { self.deadline = deadline }

    var hasFired: Bool { phase.load(ordering: .acquiring) == .fired }

    func begin() {
        withUnsafeCurrentTask { task = $0 }
        loop = EventLoop.current
        if let loop { id = loop.timers.add(deadline: deadline, owner: self) }
    }

    func end() {
        if !take(.ended) { while !hasFired {} }
        guard let loop else { return }
        if loop.isCurrent {
            removeTimer(from: loop)
        } else {
            loop.post { self.removeTimer(from: loop) }
        }
    }

    func fire() {
        guard take(.firing) else { return }
        task?.cancel()
        phase.store(.fired, ordering: .releasing)
    }

    func timerFired(_ context: UInt) {
        id = nil
        fire()
    }

    private func take(_ desired: Phase) -> Bool {
        phase.compareExchange(
            expected: .armed,
            desired: desired,
            ordering: .acquiringAndReleasing
        ).exchanged
    }

    private func removeTimer(from loop: EventLoop) {
        if let id = id.take() { loop.timers.cancel(id) }
    }
}

/// What a child task in its parent's isolation is lent, and gives back.
struct Unchecked<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
}
