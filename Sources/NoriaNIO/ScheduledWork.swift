// SPDX-License-Identifier: Apache-2.0
#if NIO
internal import NIOCore
internal import Noria
internal import NoriaEngine
internal import Synchronization

/// A task or a callback that waits in the loop's timers.
///
/// It begins, or is cancelled: whoever sets `isSettled` first decides, from any thread, so that
/// nothing begins any more once a `cancel` has returned. Its closures are let go of with it.
///
/// SAFETY (`@unchecked Sendable`): all but `isSettled` belongs to the loop's thread.
final class ScheduledWork: TimerOwner, @unchecked Sendable {
    let eventLoop: NoriaEventLoop
    private let isSettled = Atomic<Bool>(false)
    private var work: (run: () -> Void, cancelled: (any Error) -> Void)?
    private var id: TimerID?

    init(
        on eventLoop: NoriaEventLoop,
        run: @escaping () -> Void,
        cancelled: @escaping (any Error) -> Void
    ) {
        self.eventLoop = eventLoop
        work = (run, cancelled)
    }

    func begin(at deadline: NIODeadline) {
        onLoop {
            guard !self.isSettled.load(ordering: .relaxed) else { return }
            guard !self.eventLoop.isOver else { return self.end(EventLoopError.shutdown) }
            self.id = self.eventLoop.loop.addTimer(at: deadline.uptimeNanoseconds, owner: self)
        }
    }

    /// Any thread.
    func cancel() {
        guard !isSettled.exchange(true, ordering: .relaxed) else { return }
        onLoop { self.tell(EventLoopError.cancelled) }
    }

    func end(_ error: any Error) {
        if !isSettled.exchange(true, ordering: .relaxed) { tell(error) }
    }

    private func tell(_ error: any Error) {
        if let id = id.take() { eventLoop.loop.cancelTimer(id) }
        work.take()?.cancelled(error)
    }

    func timerFired(_ context: UInt) {
        id = nil
        guard !isSettled.exchange(true, ordering: .relaxed) else { return }
        work.take()?.run()
    }

    private func onLoop(_ body: @escaping @Sendable () -> Void) {
        if eventLoop.inEventLoop { body() } else { eventLoop.loop.post(body) }
    }
}

/// What a loop knows by name: callbacks, which are cancelled by number, and the channels.
///
/// SAFETY (`@unchecked Sendable`): it belongs to the loop's thread.
final class LoopResidents: @unchecked Sendable {
    var callbacks: [UInt64: ScheduledWork] = [:]
    /// From their making until their descriptors are gone.
    var channels: [ObjectIdentifier: StreamSocketChannel] = [:]
    /// It holds the loop: whoever ends the loop lets go of it.
    var succeeded: EventLoopFuture<Void>?
}
#endif
