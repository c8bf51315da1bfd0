// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem

/// A time that a step of a connection may take: its header, a part of its close.
///
/// Loop thread only.
final class StreamTimer: TimerOwner {
    private let loop: EventLoop
    /// The time for which it is to be set once more, or nil.
    private let whenUp: () -> Duration?
    private var id: TimerID?
    private(set) var isOver = false

    init(_ length: Duration, on loop: EventLoop, _ whenUp: @escaping () -> Duration?) {
        self.loop = loop
        self.whenUp = whenUp
        arm(length)
    }

    private func arm(_ length: Duration) {
        let deadline = MonotonicClock.now &+ UInt64(length.nanoseconds)
        id = loop.timers.add(deadline: deadline, owner: self)
    }

    func end() {
        if let id = id.take() { loop.timers.cancel(id) }
    }

    func timerFired(_ context: UInt) {
        id = nil
        if let length = whenUp() { return arm(length) }
        isOver = true
    }
}
