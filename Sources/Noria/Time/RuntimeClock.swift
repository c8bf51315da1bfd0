// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem

/// The clock of a runtime: the time of `ContinuousClock`, waited for on a loop's timers.
///
/// A sleep costs a timer in the loop's wheel, which its cancellation takes out again; the timers of
/// `Task.sleep` stay until they are due.
public struct RuntimeClock: Clock {
    /// The instants are those of `ContinuousClock`.
    public typealias Instant = ContinuousClock.Instant

    /// The loop of those who run on none.
    let loop: EventLoop

    /// The present instant.
    public var now: Instant { ContinuousClock.now }
    /// The least difference of two instants.
    public var minimumResolution: Duration { ContinuousClock().minimumResolution }

    /// Sleeps until `deadline` or a little longer, never shorter.
    ///
    /// The tolerance is not used: a timer fires with the loop's first turn after it is due. A
    /// deadline that has passed lets others run once.
    ///
    /// - Throws: `CancellationError` as soon as the task is cancelled.
    public func sleep(until deadline: Instant, tolerance: Duration? = nil) async throws {
        let loop = EventLoop.current ?? loop
        guard loop.isHome else {
            return try await loop.bring { try await sleep(until: deadline) }
        }
        let left = UInt64(now.duration(to: deadline).nanoseconds)
        let (end, overflow) = MonotonicClock.now.addingReportingOverflow(left)
        guard await Sleep(on: loop).run(until: overflow ? .max : end) else {
            throw CancellationError()
        }
    }
}

extension Runtime {
    /// The runtime's clock: `try await runtime.clock.sleep(for: .seconds(1))`.
    ///
    /// Any thread.
    public var clock: RuntimeClock { RuntimeClock(loop: eventLoops.main) }
}

/// One sleep of a task on its loop.
///
/// SAFETY (`@unchecked Sendable`): it belongs to the loop's thread; cancelling posts to it.
private final class Sleep: TimerOwner, @unchecked Sendable {
    private let loop: EventLoop
    private var waiting: Parked<Bool>?
    private var timer: TimerID?

    init(on loop: EventLoop) { self.loop = loop }

    /// Whether the time has come; false when the task was cancelled before.
    func run(until deadline: UInt64) async -> Bool {
        await loop.park { parked in
            guard !Task.isCancelled else { return parked.resume(returning: false, on: loop) }
            waiting = parked
            timer = loop.timers.add(deadline: deadline, owner: self)
        } onCancel: {
            self.interrupt()
        }
    }

    private func interrupt() {
        guard let timer = timer.take() else { return }
        loop.timers.cancel(timer)
        waiting.take()?.resume(returning: false, on: loop)
    }

    func timerFired(_ context: UInt) {
        timer = nil
        waiting.take()?.resume(returning: true, on: loop)
    }
}
