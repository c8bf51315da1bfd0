// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem
internal import Synchronization

// Three roles over one queue: an object that was both serial and task executor would cost 2–4
// times the enqueues. What touches the concurrency library's SPI stands in
// `ExecutorInstallation.swift`.

/// The home of actors that live on a loop; of the main actor, on the main thread's loop.
///
/// SAFETY (`@unchecked Sendable`, here and below): `adopted` is set once, before the object is
/// handed to anyone, and loops are immortal.
final class LoopSerialExecutor: SerialExecutor, @unchecked Sendable {
    private unowned(unsafe) var adopted: EventLoop?

    var loop: EventLoop {
        guard let adopted else { preconditionFailure("an executor is adopted as it is made") }
        return adopted
    }

    func adopt(_ loop: EventLoop) { adopted = loop }

    func enqueue(_ job: UnownedJob) { loop.enqueue(job, as: .serial) }
    func enqueue(_ job: consuming ExecutorJob) { loop.enqueue(UnownedJob(job), as: .serial) }

    func isIsolatingCurrentContext() -> Bool? { loop.isCurrent }
    func checkIsolated() {
        precondition(loop.isCurrent, "this code belongs to \(loop), and runs elsewhere")
    }
}

/// Keeps a task on one loop: `Task(executorPreference:)`.
final class LoopTaskExecutor: TaskExecutor, @unchecked Sendable {
    private unowned(unsafe) var adopted: EventLoop?

    var loop: EventLoop {
        guard let adopted else { preconditionFailure("an executor is adopted as it is made") }
        return adopted
    }

    func adopt(_ loop: EventLoop) { adopted = loop }

    func enqueue(_ job: UnownedJob) { loop.enqueue(job, as: .pinned) }
    func enqueue(_ job: consuming ExecutorJob) { loop.enqueue(UnownedJob(job), as: .pinned) }
}

extension EventLoop {
    /// The executor of actors that live on this loop.
    ///
    /// Any thread.
    public var unownedExecutor: UnownedSerialExecutor { serial.asUnownedSerialExecutor() }
    /// The same, for interfaces that take an executor.
    ///
    /// Any thread.
    public var serialExecutor: any SerialExecutor { serial }
    /// Keeps a whole task on this loop: `Task(executorPreference:)`.
    ///
    /// Any thread.
    public var taskExecutor: any TaskExecutor { tasks }
}

/// The executor of everything else: who enqueues from a loop stays on it.
///
/// With no runtime running it hands on to the platform's own.
final class GlobalExecutor: TaskExecutor {
    func enqueue(_ job: UnownedJob) {
        if EventLoop.enqueueOnCurrent(job) { return }
        if let loop = ExecutorInstallation.runningLoop {
            loop.enqueueFromOutside(job)
        } else {
            ExecutorInstallation.forward(job)
        }
    }

    func enqueue(_ job: consuming ExecutorJob) { enqueue(UnownedJob(job)) }
}

extension EventLoop {
    /// Holds a job back for a while.
    ///
    /// Any thread.
    func enqueue(_ job: UnownedJob, as role: JobRole, after delay: Duration) {
        guard delay > .zero else { return enqueue(job, as: role) }
        let deadline = MonotonicClock.now &+ UInt64(delay.nanoseconds)
        perform { self.addTimer(for: job, as: role, deadline: deadline) }
    }

    private func addTimer(for job: UnownedJob, as role: JobRole, deadline: UInt64) {
        let queued = QueuedJob(job)
        queued.role = role
        _ = timers.add(deadline: deadline, owner: self, context: UInt(bitPattern: queued.address))
    }
}

extension EventLoop: TimerOwner {
    package func timerFired(_ context: UInt) {
        guard let address = UnsafeMutableRawPointer(bitPattern: context) else { return }
        let queued = QueuedJob(address: address)
        enqueue(queued.job, as: queued.role)
    }
}

extension UnownedSerialExecutor {
    /// `swift_executor_generic()` of the runtime's `ExecutorImpl.h`: two zero words.
    ///
    /// SAFETY: the type is two words, and every run begins with a job that is run by it.
    static var generic: UnownedSerialExecutor {
        unsafeBitCast((UInt(0), UInt(0)), to: UnownedSerialExecutor.self)
    }
}
