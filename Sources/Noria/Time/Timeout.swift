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
@inlinable
public func withTimeout<Value>(
    _ duration: Duration,
    name: String = #function,
    _ body: () async throws -> Value
) async throws -> Value {
    var result: Result<Value, any Error>?
    let hasFired = await runTimed(after: duration, isolation: #isolation) {
        do { result = .success(try await body()) } catch { result = .failure(error) }
    }
    return try timedValue(of: result, hasFired, name, duration)
}

/// Runs `body`, and cancels it when it is not done by `deadline`: see `withTimeout`.
///
/// - Throws: `TimeoutError` when the body ends by that cancellation, else what the body throws.
@inlinable
public func withDeadline<Value>(
    _ deadline: ContinuousClock.Instant,
    name: String = #function,
    _ body: () async throws -> Value
) async throws -> Value {
    let duration = ContinuousClock.now.duration(to: deadline)
    return try await withTimeout(duration, name: name, body)
}

/// What the body returned or threw; a cancellation that was the timer's is the time-out's error.
@inlinable
func timedValue<Value>(
    of result: Result<Value, any Error>?,
    _ hasFired: Bool,
    _ name: String,
    _ duration: Duration
) throws -> Value {
    switch result {
    case .success(let value): return value
    case .failure(is CancellationError) where hasFired: throw timeoutError(name, duration)
    case .failure(let error): throw error
    case nil: preconditionFailure("the body was run")
    }
}

@usableFromInline
func timeoutError(_ name: String, _ duration: Duration) -> any Error {
    TimeoutError(name: name, duration: duration)
}

/// Runs `body` in a child task, cancelled when the timer fires; whether it did.
///
/// It knows no type of its caller's, and the callers above are inlined: generic metadata, looked up
/// at each call, cost 13,000 instructions here.
@usableFromInline
func runTimed(
    after duration: Duration,
    isolation: isolated (any Actor)?,
    _ body: () async -> Void
) async -> Bool {
    let timer = TimeoutTimer(MonotonicClock.now &+ UInt64(duration.nanoseconds))
    await withoutActuallyEscaping(body) { body in
        // SAFETY: the child runs in the caller's isolation and is awaited here, so neither the
        // body nor what it writes to crosses to anyone else.
        let body = Unchecked(body)
        // Off the loops there is no wheel to put a timer in.
        guard EventLoop.current != nil else {
            return await runSlept(timer, isolation: isolation, body)
        }
        await withDiscardingTaskGroup { group in
            group.addImmediateTask {
                _ = isolation
                timer.begin()
                await body.value()
                timer.end()
            }
        }
    }
    return timer.hasFired
}

/// The same with a second child, which sleeps for the timer.
private func runSlept(
    _ timer: TimeoutTimer,
    isolation: isolated (any Actor)?,
    _ body: Unchecked<() async -> Void>
) async {
    await withTaskGroup(of: Bool.self) { group in
        group.addImmediateTask {
            _ = isolation
            timer.begin()
            await body.value()
            timer.end()
            return true
        }
        group.addTask {
            let left = Int64(clamping: timer.deadline) - Int64(clamping: MonotonicClock.now)
            try? await Task.sleep(for: .nanoseconds(left))
            if !Task.isCancelled { timer.fire() }
            return false
        }
        // The sleep ends first when the time is up; the body is awaited all the same.
        while let isBody = await group.next() { if isBody { group.cancelAll() } }
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
    let deadline: UInt64
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
