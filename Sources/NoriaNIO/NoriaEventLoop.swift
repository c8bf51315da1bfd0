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
/// in the same turns. It lives for one run of the loop: at its end scheduled tasks and callbacks are
/// cancelled, channels are closed, and what is submitted from then on fails with `.shutdown`.
public final class NoriaEventLoop: NIOSerialEventLoopExecutor, LoopAdapter, Sendable,
    CustomStringConvertible
{
    /// The loop that turns.
    public let loop: Noria::EventLoop
    let runtime: Runtime
    let residents = LoopResidents()
    private let hasEnded = Atomic<Bool>(false)
    private let callbackCount = Atomic<UInt64>(0)

    /// Any thread.
    init(_ loop: Noria::EventLoop, _ runtime: Runtime) {
        self.loop = loop
        self.runtime = runtime
    }

    /// The loop's name: `NoriaEventLoop (loop 0)`.
    public var description: String { "NoriaEventLoop (\(loop))" }

    /// Whether the calling thread is the loop's.
    public var inEventLoop: Bool { loop.isCurrent }

    /// Ends the process on another thread than the loop's.
    public func preconditionInEventLoop(file: StaticString, line: UInt) {
        precondition(inEventLoop, "this must run on \(loop)", file: file, line: line)
    }

    /// Ends the process on the loop's thread.
    public func preconditionNotInEventLoop(file: StaticString, line: UInt) {
        precondition(!inEventLoop, "this must not run on \(loop)", file: file, line: line)
    }

    // MARK: Tasks

    /// Has the loop run `task`, after what was queued before.
    ///
    /// Any thread.
    public func execute(_ task: @escaping @Sendable () -> Void) {
        if inEventLoop { loop.postHere(task) } else { loop.post(task) }
    }

    /// The same, with a future of the result.
    public func submit<T>(_ task: @escaping @Sendable () throws -> T) -> EventLoopFuture<T> {
        let promise = makePromise(of: T.self)
        if hasEnded.load(ordering: .relaxed) {
            promise.fail(EventLoopError.shutdown)
        } else {
            execute { promise.assumeIsolated().completeWith(Result(catching: task)) }
        }
        return promise.futureResult
    }

    /// A future that is there already; on the loop always the same.
    public func makeSucceededVoidFuture() -> EventLoopFuture<Void> {
        guard inEventLoop, !hasEnded.load(ordering: .relaxed) else { return makeVoidFuture() }
        if let future = residents.succeeded { return future }
        let future = makeVoidFuture()
        residents.succeeded = future
        return future
    }

    private func makeVoidFuture() -> EventLoopFuture<Void> {
        let promise = makePromise(of: Void.self)
        promise.succeed()
        return promise.futureResult
    }

    // MARK: Timers

    /// Has the loop run `task` at a moment of the monotonic clock; a cancelled one never runs.
    ///
    /// Any thread.
    @discardableResult
    public func scheduleTask<T>(
        deadline: NIODeadline,
        _ task: @escaping @Sendable () throws -> T
    ) -> Scheduled<T> {
        schedule(deadline, task)
    }

    /// The same after a while.
    @discardableResult
    public func scheduleTask<T>(
        in delay: TimeAmount,
        _ task: @escaping @Sendable () throws -> T
    ) -> Scheduled<T> {
        schedule(.now() + delay, task)
    }

    /// SAFETY: a task that can't be sent comes from the loop itself, and runs there.
    private func schedule<T>(
        _ deadline: NIODeadline,
        _ task: @escaping () throws -> T
    ) -> Scheduled<T> {
        let promise = makePromise(of: T.self)
        let work = ScheduledWork(on: self) {
            promise.assumeIsolatedUnsafeUnchecked().completeWith(Result(catching: task))
        } cancelled: {
            promise.fail($0)
        }
        work.begin(at: deadline)
        return Scheduled(promise: promise, cancellationTask: { work.cancel() })
    }

    /// Has the loop call a handler at a moment of the monotonic clock: with no future beside it.
    ///
    /// It is called, or told that it was cancelled, also by the end of the loop: one of the two.
    ///
    /// Any thread.
    @discardableResult
    public func scheduleCallback(
        at deadline: NIODeadline,
        handler: some (NIOScheduledCallbackHandler & Sendable)
    ) throws -> NIOScheduledCallback {
        try callback(deadline, handler)
    }

    private func callback(
        _ deadline: NIODeadline,
        _ handler: some NIOScheduledCallbackHandler
    ) throws -> NIOScheduledCallback {
        guard !hasEnded.load(ordering: .relaxed) else { throw EventLoopError.shutdown }
        let number = callbackCount.wrappingAdd(1, ordering: .relaxed).newValue
        let work = ScheduledWork(on: self) {
            self.residents.callbacks[number] = nil
            handler.handleScheduledCallback(eventLoop: self)
        } cancelled: { _ in
            self.residents.callbacks[number] = nil
            handler.didCancelScheduledCallback(eventLoop: self)
        }
        perform {
            self.residents.callbacks[number] = work
            work.begin(at: deadline)
        }
        return NIOScheduledCallback(self, id: number)
    }

    /// Cancels a callback; one that was called, or cancelled, is left alone.
    ///
    /// Any thread.
    public func cancelScheduledCallback(_ callback: NIOScheduledCallback) {
        guard let number = callback.customCallbackID else { return }
        perform { self.residents.callbacks[number]?.cancel() }
    }

    /// Here and now on the loop, else as soon as it comes to it.
    private func perform(_ body: @escaping @Sendable () -> Void) {
        if inEventLoop { body() } else { loop.post(body) }
    }

    // MARK: From the loop itself

    /// As `execute`, of work that can't be sent.
    public func _executeIsolatedUnsafeUnchecked(_ task: @escaping () -> Void) {
        loop.postHere(task)
    }

    /// As `submit`, of work that can't be sent.
    public func _submitIsolatedUnsafeUnchecked<T>(
        _ task: @escaping () throws -> T
    ) -> EventLoopFuture<T> {
        let promise = makePromise(of: T.self)
        loop.postHere {
            promise.assumeIsolatedUnsafeUnchecked().completeWith(Result(catching: task))
        }
        return promise.futureResult
    }

    /// As `scheduleTask`, of work that can't be sent.
    @discardableResult
    public func _scheduleTaskIsolatedUnsafeUnchecked<T>(
        deadline: NIODeadline,
        _ task: @escaping () throws -> T
    ) -> Scheduled<T> {
        schedule(deadline, task)
    }

    /// The same after a while.
    @discardableResult
    public func _scheduleTaskIsolatedUnsafeUnchecked<T>(
        in delay: TimeAmount,
        _ task: @escaping () throws -> T
    ) -> Scheduled<T> {
        schedule(.now() + delay, task)
    }

    /// As `scheduleCallback`, of a handler that can't be sent.
    @discardableResult
    public func _scheduleCallbackIsolatedUnsafeUnchecked(
        at deadline: NIODeadline,
        handler: some NIOScheduledCallbackHandler
    ) throws -> NIOScheduledCallback {
        try callback(deadline, handler)
    }

    /// The same after a while.
    @discardableResult
    public func _scheduleCallbackIsolatedUnsafeUnchecked(
        in delay: TimeAmount,
        handler: some NIOScheduledCallbackHandler
    ) throws -> NIOScheduledCallback {
        try callback(.now() + delay, handler)
    }

    // MARK: Swift's concurrency

    /// The executor of actors that live on the loop: the same as the loop's own.
    public var executor: any SerialExecutor { loop.serialExecutor }

    /// The same, so that nobody hops from one to the other.
    public func asUnownedSerialExecutor() -> UnownedSerialExecutor { loop.unownedExecutor }

    /// Takes a job of an actor that lives on the loop.
    public func enqueue(_ job: consuming ExecutorJob) { loop.serialExecutor.enqueue(job) }

    /// Whether the calling thread is the loop's.
    public func isIsolatingCurrentContext() -> Bool? { loop.isCurrent }

    // MARK: Group

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

    // MARK: The end

    /// Cancels what is scheduled, and closes what is open.
    package func loopEnds() {
        hasEnded.store(true, ordering: .relaxed)
        for case let work as ScheduledWork in loop.timerOwners where work.eventLoop === self {
            work.end(EventLoopError.cancelled)
        }
        for channel in residents.channels.values { channel.loopEnds() }
        residents.succeeded = nil
    }

    /// What comes now is never begun.
    ///
    /// Loop thread only.
    var isOver: Bool { hasEnded.load(ordering: .relaxed) }
}
#endif
