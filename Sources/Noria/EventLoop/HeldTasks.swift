// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem
internal import Synchronization

extension EventLoop {
    /// Reports the failed tasks that nobody holds any more: see `TaskHook`.
    ///
    /// Loop thread only.
    @inline(__always)
    func lookAtHeldTasks() { if TaskHook.hasHeld { lookAgain() } }

    @inline(never)
    private func lookAgain() {
        TaskHook.lookAgain()
        // Who has made one may be in the next instruction, on another thread: the loop is not to
        // sleep over it.
        if TaskHook.hasHeld { HeldTaskWatch.shared.arm(on: self) }
    }
}

extension TaskHook {
    /// After a run, whose timers are the loops' own.
    static func endWatching() { HeldTaskWatch.shared.disarm() }
}

/// Has a loop look again at tasks that failed and are still held, at ever longer distances.
private final class HeldTaskWatch: TimerOwner, Sendable {
    static let shared = HeldTaskWatch()

    private static let shortest: UInt64 = 1_000_000
    private static let longest: UInt64 = 256_000_000

    private let isArmed = Atomic<Bool>(false)
    private let distance = Atomic<UInt64>(shortest)
    private let lastFired = Atomic<UInt64>(0)

    /// Loop thread only.
    func arm(on loop: EventLoop) {
        guard !isArmed.exchange(true, ordering: .relaxed) else { return }
        let now = MonotonicClock.now
        var next = distance.load(ordering: .relaxed)
        // After a pause they are others.
        if now &- lastFired.load(ordering: .relaxed) > next { next = Self.shortest }
        distance.store(min(next &* 2, Self.longest), ordering: .relaxed)
        _ = loop.timers.add(deadline: now &+ next, owner: self, context: 0)
    }

    func disarm() { isArmed.store(false, ordering: .relaxed) }

    /// The turn's end looks.
    func timerFired(_ context: UInt) {
        lastFired.store(MonotonicClock.now, ordering: .relaxed)
        isArmed.store(false, ordering: .relaxed)
    }
}
