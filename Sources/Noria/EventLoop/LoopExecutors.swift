internal import CNoria
internal import NoriaEngine
internal import NoriaSystem
internal import Synchronization
// SPDX-License-Identifier: Apache-2.0
@_spi(ExperimentalCustomExecutors) @_spi(ExperimentalScheduling) internal import _Concurrency

// All that touches the concurrency library's SPI stands in this file. Three roles over one queue:
// an object that was both serial and task executor would cost 2–4 times the enqueues.

/// The home of actors that live on a loop; of the main actor, on the main thread's loop.
///
/// SAFETY (`@unchecked Sendable`, here and below): `loop` is set once, before the object is
/// handed to anyone.
final class LoopSerialExecutor: MainExecutor, SchedulingExecutor, @unchecked Sendable {
    private unowned(unsafe) var adopted: EventLoop?

    private var loop: EventLoop {
        guard let adopted else { preconditionFailure("an executor is adopted as it is made") }
        return adopted
    }

    func adopt(_ loop: EventLoop) { adopted = loop }

    func enqueue(_ job: UnownedJob) { loop.enqueue(job, as: .serial) }
    func enqueue(_ job: consuming ExecutorJob) { loop.enqueue(UnownedJob(job), as: .serial) }

    func enqueue<C: Clock>(
        _ job: consuming ExecutorJob,
        at instant: C.Instant,
        tolerance: C.Duration?,
        clock: C
    ) {
        loop.enqueue(UnownedJob(job), as: .serial, at: instant, clock: clock)
    }

    var isMainExecutor: Bool { loop.index == 0 }
    func isIsolatingCurrentContext() -> Bool? { loop.isCurrent }
    func checkIsolated() {
        precondition(loop.isCurrent, "this code belongs to \(loop), and runs elsewhere")
    }

    // `Runtime.run` turns the loop; nobody else may.
    func run() throws { throw RuntimeError(.alreadyRunning("use 'Runtime.run'")) }
    func stop() {}
}

/// Keeps a task on one loop: `Task(executorPreference:)`.
final class LoopTaskExecutor: TaskExecutor, SchedulingExecutor, @unchecked Sendable {
    private unowned(unsafe) var adopted: EventLoop?

    private var loop: EventLoop {
        guard let adopted else { preconditionFailure("an executor is adopted as it is made") }
        return adopted
    }

    func adopt(_ loop: EventLoop) { adopted = loop }

    func enqueue(_ job: UnownedJob) { loop.enqueue(job, as: .generic) }
    func enqueue(_ job: consuming ExecutorJob) { loop.enqueue(UnownedJob(job), as: .generic) }

    func enqueue<C: Clock>(
        _ job: consuming ExecutorJob,
        at instant: C.Instant,
        tolerance: C.Duration?,
        clock: C
    ) {
        loop.enqueue(UnownedJob(job), as: .generic, at: instant, clock: clock)
    }
}

/// The executor of everything else: who enqueues from a loop stays on it.
///
/// With no runtime running it hands on to the platform's own.
final class GlobalExecutor: TaskExecutor, SchedulingExecutor {
    func enqueue(_ job: UnownedJob) {
        if let loop = EventLoop.current ?? ExecutorInstallation.runningLoop {
            loop.enqueue(job, as: .generic)
        } else {
            ExecutorInstallation.platform.enqueue(job)
        }
    }

    func enqueue(_ job: consuming ExecutorJob) { enqueue(UnownedJob(job)) }

    func enqueue<C: Clock>(
        _ job: consuming ExecutorJob,
        at instant: C.Instant,
        tolerance: C.Duration?,
        clock: C
    ) {
        if let loop = EventLoop.current ?? ExecutorInstallation.runningLoop {
            loop.enqueue(UnownedJob(job), as: .generic, at: instant, clock: clock)
        } else if let platform = ExecutorInstallation.platform as? any SchedulingExecutor {
            platform.enqueue(job, at: instant, tolerance: tolerance, clock: clock)
        } else {
            ExecutorInstallation.platform.enqueue(job)
        }
    }
}

extension EventLoop {
    /// Holds a job back until `instant`.
    ///
    /// Any thread.
    fileprivate func enqueue<C: Clock>(
        _ job: UnownedJob,
        as role: JobRole,
        at instant: C.Instant,
        clock: C
    ) {
        guard let delay = clock.now.duration(to: instant) as? Duration, delay > .zero else {
            // A clock whose durations we can't read: it looks at its own time and sleeps again.
            return enqueue(job, as: role)
        }
        let deadline = MonotonicClock.now &+ UInt64(delay.nanoseconds)
        if isCurrent {
            addTimer(for: job, as: role, deadline: deadline)
        } else {
            post { self.addTimer(for: job, as: role, deadline: deadline) }
        }
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
    /// SAFETY: the type is two words, and the self-test runs a job by it at every start.
    static var generic: UnownedSerialExecutor {
        unsafeBitCast((UInt(0), UInt(0)), to: UnownedSerialExecutor.self)
    }
}

/// Makes our executors the process's, once, and never takes them out again.
///
/// Giving them back would strand what resumes late: a pinned actor's job has nowhere else to go.
enum ExecutorInstallation {
    /// The process's loop 0, made when it is first asked for.
    static let mainLoop: EventLoop = {
        do { return try EventLoop(index: 0) } catch {
            preconditionFailure("no eventfd for the main loop: \(error)")
        }
    }()

    /// Dispatch's pool, as the toolchain sets it up.
    static let platform: any TaskExecutor = PlatformExecutorFactory.defaultExecutor

    static let global = GlobalExecutor()

    private static let isRunning = Atomic<Bool>(false)
    private static let isInstalled = Atomic<Bool>(false)

    /// The loop that takes jobs from outside the loops, while a runtime runs.
    static var runningLoop: EventLoop? {
        isRunning.load(ordering: .acquiring) ? mainLoop : nil
    }

    static func setRunning(_ running: Bool) { isRunning.store(running, ordering: .releasing) }

    /// Installs by both ways, factory and hooks.
    ///
    /// Main thread, before there are others.
    static func install() {
        guard !isInstalled.exchange(true, ordering: .acquiringAndReleasing) else { return }
        // The platform's executor is made before ours stands in its place.
        _ = platform
        _createExecutors(factory: NoriaExecutorFactory.self)
        let reference = unsafeBitCast(
            mainLoop.serial.asUnownedSerialExecutor(),
            to: noria_executor_ref.self
        )
        noria_install_executor_hooks(reference) { job in
            guard let job else { return }
            ExecutorInstallation.global.enqueue(QueuedJob(address: job).job)
        }
    }
}

private enum NoriaExecutorFactory: ExecutorFactory {
    static var mainExecutor: any MainExecutor { ExecutorInstallation.mainLoop.serial }
    static var defaultExecutor: any TaskExecutor { ExecutorInstallation.global }
}
