// SPDX-License-Identifier: Apache-2.0

internal import CNoria
internal import NoriaSystem
internal import Synchronization
internal import SystemPackage

// The one file that touches the concurrency library's SPI. It was proved with 6.3.1 and holds for
// 6.3 and 6.4; with another compiler the executors are installed by the runtime's hooks alone, and
// `ExecutorInstallation.note` says what that leaves out.
#if compiler(>=6.3) && compiler(<6.5)
@_spi(ExperimentalCustomExecutors) @_spi(ExperimentalScheduling) internal import _Concurrency
#endif

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

    /// The loops of this process so far, made when a run first wants as many and never freed.
    private static let loops = Mutex<[EventLoop]>([])

    static func loops(_ count: Int) throws(Errno) -> EventLoopGroup {
        // The main loop is made outside of the lock, since its making takes others.
        let main = mainLoop
        return try loops.withLock { loops throws(Errno) in
            if loops.isEmpty { loops.append(main) }
            while loops.count < count { loops.append(try EventLoop(index: loops.count)) }
            return EventLoopGroup(Array(loops.prefix(count)))
        }
    }

    /// Those of embedded runtimes: others than the main actor's, which may have jobs from anywhere.
    private static let embedded = Guarded<[EventLoop]>([])

    static func embeddedLoops(_ count: Int) throws(Errno) -> EventLoopGroup {
        try embedded.withLock { loops throws(Errno) in
            while loops.count < count { loops.append(try EventLoop(index: loops.count)) }
            return EventLoopGroup(Array(loops.prefix(count)))
        }
    }

    static let global = GlobalExecutor()

    private static let isInstalled = Atomic<Bool>(false)
    private static let runningCount = Atomic<Int>(0)
    private static let running = Mutex<EventLoopGroup?>(nil)

    /// The loop that takes a job from outside the loops, while a runtime runs: each in turn.
    static var runningLoop: EventLoop? {
        switch runningCount.load(ordering: .acquiring) {
        case 0: nil
        case 1: mainLoop
        default: running.withLock { $0?.next() }
        }
    }

    static func isOnlyLoop(_ loop: EventLoop) -> Bool {
        runningCount.load(ordering: .acquiring) == 1 && loop === mainLoop
    }

    static var hasSeveralLoops: Bool { runningCount.load(ordering: .relaxed) > 1 }

    static func setRunning(_ loops: EventLoopGroup?) {
        running.withLock { $0 = loops }
        runningCount.store(loops?.count ?? 0, ordering: .releasing)
    }

    /// Installs.
    ///
    /// Main thread, before there are others.
    static func install() {
        guard !isInstalled.exchange(true, ordering: .acquiringAndReleasing) else { return }
        installFactory()
        // SAFETY: both are the two words of a serial executor's reference.
        let reference = unsafeBitCast(
            mainLoop.serial.asUnownedSerialExecutor(),
            to: noria_executor_ref.self
        )
        noria_install_executor_hooks(reference) { job in
            guard let job else { return }
            ExecutorInstallation.global.enqueue(QueuedJob(address: job).job)
        }
    }

    /// Whether the main actor lives on our loop: the installation's self-test, beside the first
    /// task of every run, which looks where it runs.
    static var holds: Bool {
        // SAFETY: both are the two words of a serial executor's reference; they are compared.
        let present = unsafeBitCast(MainActor.sharedUnownedExecutor, to: (UInt, UInt).self)
        let ours = unsafeBitCast(mainLoop.serial.asUnownedSerialExecutor(), to: (UInt, UInt).self)
        return present.0 == ours.0
    }
}

#if compiler(>=6.3) && compiler(<6.5)

extension ExecutorInstallation {
    /// What this build can't do, or nil.
    static let note: String? = nil

    /// Dispatch's pool, as the toolchain sets it up.
    private static let platform: any TaskExecutor = PlatformExecutorFactory.defaultExecutor

    /// Hands a job to the platform's executor, for while no runtime runs.
    static func forward(_ job: UnownedJob) { platform.enqueue(job) }

    /// The same for a job that is to wait; the platform's executor has timers of its own.
    fileprivate static func forward<C: Clock>(
        _ job: consuming ExecutorJob,
        at instant: C.Instant,
        tolerance: C.Duration?,
        clock: C
    ) {
        guard let platform = platform as? any SchedulingExecutor else {
            return mainLoop.enqueue(
                UnownedJob(job),
                as: .generic,
                after: clock.delay(until: instant)
            )
        }
        platform.enqueue(job, at: instant, tolerance: tolerance, clock: clock)
    }

    private static func installFactory() {
        // The platform's executor is made before ours stands in its place.
        _ = platform
        _createExecutors(factory: NoriaExecutorFactory.self)
    }
}

private enum NoriaExecutorFactory: ExecutorFactory {
    static var mainExecutor: any MainExecutor { ExecutorInstallation.mainLoop.serial }
    static var defaultExecutor: any TaskExecutor { ExecutorInstallation.global }
}

extension LoopSerialExecutor: MainExecutor, SchedulingExecutor {
    var isMainExecutor: Bool { loop === ExecutorInstallation.mainLoop }

    // `Runtime.run` turns the loop; nobody else may.
    func run() throws { throw RuntimeError(.alreadyRunning("use 'Runtime.run'")) }
    func stop() {}

    func enqueue<C: Clock>(
        _ job: consuming ExecutorJob,
        at instant: C.Instant,
        tolerance: C.Duration?,
        clock: C
    ) {
        loop.enqueue(UnownedJob(job), as: .serial, after: clock.delay(until: instant))
    }
}

extension LoopTaskExecutor: SchedulingExecutor {
    func enqueue<C: Clock>(
        _ job: consuming ExecutorJob,
        at instant: C.Instant,
        tolerance: C.Duration?,
        clock: C
    ) {
        loop.enqueue(UnownedJob(job), as: .pinned, after: clock.delay(until: instant))
    }
}

extension GlobalExecutor: SchedulingExecutor {
    func enqueue<C: Clock>(
        _ job: consuming ExecutorJob,
        at instant: C.Instant,
        tolerance: C.Duration?,
        clock: C
    ) {
        if let loop = EventLoop.current ?? ExecutorInstallation.runningLoop {
            loop.enqueue(UnownedJob(job), as: .generic, after: clock.delay(until: instant))
        } else {
            ExecutorInstallation.forward(job, at: instant, tolerance: tolerance, clock: clock)
        }
    }
}

extension Clock {
    /// How long it is until `instant`; zero for a clock whose durations are not `Duration`, which
    /// then looks at its own time and sleeps again.
    fileprivate func delay(until instant: Instant) -> Swift.Duration {
        now.duration(to: instant) as? Swift.Duration ?? .zero
    }
}

#else

extension ExecutorInstallation {
    static let note: String? = """
        this compiler's executor interface is not known: installed by the runtime's hooks alone, \
        and 'Task.sleep' keeps its timers in Dispatch
        """

    /// Without a platform executor to hand to, the job waits for the next run.
    static func forward(_ job: UnownedJob) { mainLoop.enqueue(job, as: .generic) }

    private static func installFactory() {}
}

#endif
