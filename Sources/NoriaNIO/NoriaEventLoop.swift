// SPDX-License-Identifier: Apache-2.0
#if NIO
public import Dispatch
public import NIOCore
public import Noria
internal import NoriaEngine
internal import Synchronization

/// One of Noria's loops, as SwiftNIO knows loops.
///
/// What a channel does on it, tasks and actors of the loop, and its timers run on the same thread
/// in the same turns.
public final class NoriaEventLoop: NIOCore::EventLoop, Sendable {
    /// The loop that turns.
    public let loop: Noria::EventLoop

    /// Any thread.
    init(_ loop: Noria::EventLoop) { self.loop = loop }

    /// Whether the calling thread is the loop's.
    public var inEventLoop: Bool { loop.isCurrent }

    /// Has the loop run `task`, after what was queued before.
    ///
    /// Any thread.
    public func execute(_ task: @escaping @Sendable () -> Void) { loop.post(task) }

    /// The same, with a future of the result.
    public func submit<T>(_ task: @escaping @Sendable () throws -> T) -> EventLoopFuture<T> {
        let promise = makePromise(of: T.self)
        execute { promise.assumeIsolated().completeWith(Result(catching: task)) }
        return promise.futureResult
    }

    /// Has the loop run `task` at a moment of the monotonic clock; a cancelled one is taken back.
    ///
    /// Any thread.
    @discardableResult
    public func scheduleTask<T>(
        deadline: NIODeadline,
        _ task: @escaping @Sendable () throws -> T
    ) -> Scheduled<T> {
        let promise = makePromise(of: T.self)
        let timer = ScheduledTimer(on: loop) {
            promise.assumeIsolated().completeWith(Result(catching: task))
        }
        timer.begin(at: deadline)
        return Scheduled(promise: promise, cancellationTask: { timer.cancel() })
    }

    /// The same after a while.
    @discardableResult
    public func scheduleTask<T>(
        in delay: TimeAmount,
        _ task: @escaping @Sendable () throws -> T
    ) -> Scheduled<T> {
        scheduleTask(deadline: .now() + delay, task)
    }

    /// Ends the process on another thread than the loop's.
    public func preconditionInEventLoop(file: StaticString, line: UInt) {
        precondition(inEventLoop, "this must run on \(loop)", file: file, line: line)
    }

    /// Ends the process on the loop's thread.
    public func preconditionNotInEventLoop(file: StaticString, line: UInt) {
        precondition(!inEventLoop, "this must not run on \(loop)", file: file, line: line)
    }

    /// The executor of actors that live on the loop: the same as the loop's own.
    public var executor: any SerialExecutor { loop.serialExecutor }

    /// Takes a job of an actor that lives on the loop.
    public func enqueue(_ job: consuming ExecutorJob) { loop.serialExecutor.enqueue(job) }

    /// A loop is its own group.
    public func next() -> any NIOCore::EventLoop { self }

    /// The loop itself.
    public func any() -> any NIOCore::EventLoop { self }

    /// The loop itself, alone.
    public func makeIterator() -> EventLoopIterator { EventLoopIterator([self]) }

    /// Ends nothing: the runtime ends its loops.
    public func shutdownGracefully(
        queue: DispatchQueue,
        _ callback: @escaping @Sendable ((any Error)?) -> Void
    ) {
        queue.async { callback(EventLoopError.unsupportedOperation) }
    }
}

/// A task that waits in the loop's timers.
///
/// SAFETY (`@unchecked Sendable`): `id` belongs to the loop's thread.
private final class ScheduledTimer: TimerOwner, @unchecked Sendable {
    private let loop: Noria::EventLoop
    private let task: @Sendable () -> Void
    private var id: TimerID?

    init(on loop: Noria::EventLoop, _ task: @escaping @Sendable () -> Void) {
        self.loop = loop
        self.task = task
    }

    func begin(at deadline: NIODeadline) {
        onLoop { self.id = self.loop.addTimer(at: UInt64(deadline.uptimeNanoseconds), owner: self) }
    }

    func cancel() {
        onLoop { if let id = self.id.take() { self.loop.cancelTimer(id) } }
    }

    func timerFired(_ context: UInt) {
        id = nil
        task()
    }

    private func onLoop(_ body: @escaping @Sendable () -> Void) {
        if loop.isCurrent { body() } else { loop.post(body) }
    }
}
#endif
