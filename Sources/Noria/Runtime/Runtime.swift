// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaEngine
internal import NoriaSystem
internal import SystemPackage

/// The runtime under a program: its loops, its end.
///
/// `Runtime.run` takes the process over: the main thread becomes loop 0, and `Task`, actors,
/// `@MainActor` and `Task.sleep` run on it from then on. `withRuntime` embeds it in a program that
/// has a main of its own, and takes nothing over.
public final class Runtime: Sendable {
    /// The configuration, as the environment has changed it.
    public let configuration: RuntimeConfiguration
    /// Which backend runs, and why not another.
    public let backend: BackendReport
    /// The loops, as many as the configuration says; the first is the main thread's, unless the
    /// runtime is embedded.
    public let eventLoops: EventLoopGroup
    /// The end of this runtime.
    public let shutdown: Shutdown
    /// What a health endpoint shows.
    public let health: Health
    /// How many descriptors the process might have open before the run raised that to what its
    /// hard limit allows: the soft RLIMIT_NOFILE, in force again after the run.
    ///
    /// A child that `fork` makes begins with it. One from `posix_spawn`, as Foundation's `Process`
    /// makes it, has the raised one, which few programs mind (those that use `select`, or that
    /// close every number up to it): start such a one by
    /// `sh -c 'ulimit -Sn N; exec "$0" "$@"' PROGRAM ARGUMENT…`. An embedded runtime raises nothing.
    public let originalDescriptorLimit: Int

    /// For calls that block: files, names, libraries, databases.
    public let blocking: ThreadPool
    /// For calls that compute for more than a millisecond: as many threads as processors, of lower
    /// priority than the loops'.
    ///
    /// Cut long work into pieces of some milliseconds, and look at `Task.isCancelled` between them.
    public let compute: ThreadPool

    /// Finds the addresses of names, on threads of its own.
    public let resolver: Resolver

    let spawned = SpawnedTasks()
    let supervisor: Supervisor
    let uncaughtErrors: UncaughtErrors
    let proxyHeaderRefusals = ProxyHeaderRefusals()
    let channelErrors = ChannelErrors()
    let poolWatch: PoolWatch
    let watchdog: Watchdog
    let debugWatch: DebugWatch?
    let reports = ReportThread()
    let log: LogQueue
    let processors: Int
    let signalWatch: SignalWatch
    let processPool = Guarded(ProcessPoolPlace())
    /// Whether the process is somebody else's.
    let isEmbedded: Bool

    /// The runtime, once it runs, and where it began.
    private static let present = Guarded<(runtime: Runtime?, origin: String?)>((nil, nil))

    /// The runtime that runs in this process, or nil.
    ///
    /// Any thread.
    public static var current: Runtime? { present.withLock { $0.runtime } }

    init(
        configuration: RuntimeConfiguration,
        backend: BackendReport,
        eventLoops: EventLoopGroup,
        originalDescriptorLimit: Int,
        isEmbedded: Bool,
        isService: Bool = false
    ) {
        self.isEmbedded = isEmbedded
        let log = LogQueue(reports)
        self.log = log
        // It logs on the thread of the reports itself.
        watchdog = Watchdog(eventLoops, configuration, reports)
        let configuration = configuration.with { $0.logger = log.logger($0.logger) }
        self.configuration = configuration
        debugWatch = DebugWatch(configuration, reports)
        self.originalDescriptorLimit = originalDescriptorLimit
        self.backend = backend
        self.eventLoops = eventLoops
        shutdown = Shutdown(
            loop: eventLoops.main,
            policy: configuration.shutdown,
            endsProcess: !isEmbedded,
            logger: configuration.logger,
            log: log
        )
        health = Health(eventLoops, shutdown)
        supervisor = Supervisor(health, eventLoops.main, isService, configuration.logger)
        uncaughtErrors = UncaughtErrors(
            configuration.diagnostics.uncaughtErrors,
            shutdown: shutdown,
            logger: configuration.logger
        )
        processors = Processors.atStart.count
        poolWatch = PoolWatch(logger: configuration.logger)
        blocking = ThreadPool(
            name: "blocking",
            configuration.blocking,
            processors: processors,
            watch: poolWatch,
            loop: eventLoops.main,
            logger: configuration.logger
        )
        compute = ThreadPool(
            name: "compute",
            configuration.compute,
            processors: processors,
            watch: poolWatch,
            loop: eventLoops.main,
            logger: configuration.logger
        )
        let names = ThreadPool(
            name: "names",
            Resolver.configuration(configuration.blocking),
            processors: processors,
            watch: poolWatch,
            loop: eventLoops.main,
            logger: configuration.logger
        )
        resolver = Resolver(names)
        signalWatch = SignalWatch(
            loop: eventLoops.main,
            shutdownSignals: configuration.shutdown.signals,
            logger: configuration.logger
        )
    }

    // MARK: One at a time

    /// Takes the process's one place for a runtime.
    static func claim(_ origin: String) throws(RuntimeError) {
        let running = present.withLock { present in
            defer { if present.origin == nil { present.origin = origin } }
            return present.origin
        }
        if let running {
            throw RuntimeError(.alreadyRunning("it began at \(running); use that one"))
        }
    }

    /// What is current from now on; nil gives the place back.
    static func setCurrent(_ runtime: Runtime?) {
        present.withLock { present in
            present.runtime = runtime
            if runtime == nil { present.origin = nil }
        }
    }

    // MARK: Running

    /// Runs `body` and ends the process with the exit code that came of it.
    ///
    /// A failure to start is written to standard error, and ends it with 78. In a process that a
    /// `ProcessPool` has started as a worker `body` is not run, here and in `run`: calls are.
    @available(
        *,
        noasync,
        message: "it takes this thread over; in an async context use 'withRuntime'"
    )
    public static func main(
        _ configuration: RuntimeConfiguration = .production,
        file: StaticString = #fileID,
        line: UInt = #line,
        _ body: sending @escaping (Runtime) async throws -> Void
    ) -> Never {
        if let seat = WorkerSeat.take() { Worker(seat).takeOver(configuration) }
        do {
            // The signals stay caught: a second SIGTERM must not end what is ending by itself.
            let outcome = try run(
                configuration,
                origin: "\(file):\(line)",
                keepsSignals: true,
                body
            )
            guard !ReportThread.isStuck else {
                // Nothing more can be written, and 'exit' would try to.
                Thread.exitProcess(outcome.report.exitCode.rawValue)
            }
            if case .failure(let error) = outcome.result, outcome.report.exitCode == .failure {
                Thread.write("error: \(error)\n", to: 2)
            }
            Thread.finishProcess(outcome.report.exitCode.rawValue)
        } catch {
            Thread.write("error: \(error)\n", to: 2)
            Thread.finishProcess(ExitCode.configuration.rawValue)
        }
    }

    /// Runs `body` on this thread, which must be the main one, until it has returned.
    ///
    /// SIGTERM and SIGINT begin a shutdown: listeners drain, and `body` goes on until its last
    /// scope has ended. What it returned or threw is in the outcome, with the report of the end.
    ///
    /// - Throws: `RuntimeError` when it can't start: nothing has run then.
    @available(
        *,
        noasync,
        message: "it takes this thread over; in an async context use 'withRuntime'"
    )
    public static func run<Value: Sendable>(
        _ configuration: RuntimeConfiguration = .production,
        file: StaticString = #fileID,
        line: UInt = #line,
        _ body: sending @escaping (Runtime) async throws -> Value
    ) throws(RuntimeError) -> RuntimeOutcome<Value> {
        if let seat = WorkerSeat.take() { Worker(seat).takeOver(configuration) }
        return try run(configuration, origin: "\(file):\(line)", keepsSignals: false, body)
    }

    /// The run of a worker: see `Worker`.
    static func runAsWorker(
        _ configuration: RuntimeConfiguration,
        _ body: @escaping @Sendable () async throws -> Void
    ) throws(RuntimeError) -> RuntimeOutcome<Void> {
        let configuration = configuration.with { $0.diagnostics.watchesLoops = false }
        return try run(configuration, origin: "a worker", keepsSignals: true, isWorker: true) { _ in
            try await body()
        }
    }

    private static func run<Value: Sendable>(
        _ configuration: RuntimeConfiguration,
        origin: String,
        keepsSignals: Bool,
        isWorker: Bool = false,
        _ body: sending @escaping (Runtime) async throws -> Value
    ) throws(RuntimeError) -> RuntimeOutcome<Value> {
        try claim(origin)
        defer { setCurrent(nil) }
        guard Thread.isMain else { throw RuntimeError(.notOnMainThread) }
        let configuration = try configuration.withEnvironment()
        let descriptors = RaisedDescriptorLimit.raise(configuration.logger)
        defer { descriptors.restore() }
        let (backend, report) = try BackendReport.choose(configuration.backend)
        do throws(Errno) {
            // Looked for here: the main loop is made where nothing can be thrown, and Dispatch,
            // which makes a descriptor for its main queue, traps when it gets none.
            let first = try Descriptor.event()
            defer { Descriptor.close(first) }
            Descriptor.close(try Descriptor.event())
        } catch {
            throw RuntimeError(
                .backendUnavailable("no eventfd for the main loop: \(error); raise 'ulimit -n'")
            )
        }
        ExecutorInstallation.install()
        guard ExecutorInstallation.holds else {
            throw RuntimeError(
                .tooLate("the main actor was used before; call it first in 'main'")
            )
        }
        let loops: EventLoopGroup
        do throws(Errno) { loops = try ExecutorInstallation.loops(configuration.loops.count) } catch
        {
            throw RuntimeError(
                .backendUnavailable("no eventfd for a loop: \(error); raise 'ulimit -n'")
            )
        }
        let runtime = Runtime(
            configuration: configuration,
            backend: report,
            eventLoops: loops,
            originalDescriptorLimit: descriptors.original,
            isEmbedded: false,
            isService: !isWorker
        )
        setCurrent(runtime)
        return try runtime.turn(Engine(backend: backend), keepsSignals: keepsSignals, body)
    }

    private func turn<Value: Sendable>(
        _ engine: Engine,
        keepsSignals: Bool,
        _ body: sending @escaping (Runtime) async throws -> Value
    ) throws(RuntimeError) -> RuntimeOutcome<Value> {
        let loop = eventLoops.main
        let budget = TurnBudget(configuration.loops)
        let threads = try LoopThreads.start(eventLoops, backend.kind, budget, isSharing: true)
        let dispatch = DispatchMainQueue(engine: engine)
        let residualCount: Int
        do throws(Errno) {
            residualCount = try loop.begin(engine: engine)
            try dispatch?.begin()
        } catch {
            threads.end()
            throw RuntimeError(
                .backendUnavailable("\(backend.kind) can't watch our own eventfd: \(error)")
            )
        }
        watchdog.begin()
        debugWatch?.begin(eventLoops)
        ExecutorInstallation.setRunning(eventLoops)
        log.begin()
        TaskHook.begin(self)
        signalWatch.begin(self)
        supervisor.begin(self)
        OrphanReaper.begin(on: loop)
        logStart(residualCount)
        let root = Root<Value>()
        TaskHook.beginOwn()
        let task = Task(name: "noria body") { [self] in
            let result = await Self.run(body, self)
            root.result = result
            await finishSpawned(after: result)
            loop.perform { loop.finish() }
        }
        TaskHook.endOwn()
        beginShutdown { task.cancel() }
        loop.run(budget)
        shutdown.closeLeftovers(debugWatch)
        ExecutorInstallation.setRunning(nil)
        threads.end()
        dispatch?.end()
        loop.end()
        watchdog.end()
        debugWatch?.end(eventLoops)
        TaskHook.end()
        guard let result = root.result else {
            preconditionFailure("the loop ended without a result")
        }
        let report = shutdown.end(exitCode(of: result), uncaughtErrors.counts)
        configuration.logger.info("ended: \(report)")
        endReports()
        // After the last line of the log: without them a broken pipe would end the process.
        if !keepsSignals { signalWatch.end() }
        if let signal = signalWatch.deadly { SignalInbox.endProcess(by: signal.rawValue) }
        return RuntimeOutcome(result: result, report: report)
    }

    /// The first task: that it runs on our loop is the self-test of the takeover.
    private static func run<Value>(
        _ body: (Runtime) async throws -> Value,
        _ runtime: Runtime
    ) async -> Result<Value, any Error> {
        guard runtime.eventLoops.main.isCurrent else {
            return .failure(
                RuntimeError(.tooLate("tasks run on another executor than ours"))
            )
        }
        do { return .success(try await body(runtime)) } catch { return .failure(error) }
    }

    func exitCode<Value>(of result: Result<Value, any Error>) -> ExitCode {
        switch result {
        case .success: uncaughtErrors.hasEndedRun ? .failure : .clean
        // What a shutdown cancelled has ended as it should.
        case .failure(let error):
            error is CancellationError && shutdown.phase >= .cancelling ? .clean : .failure
        }
    }
}

/// What the body left, written on the loop and read by it.
///
/// SAFETY: the body's task runs on the loop that waits for it, and no one else has the object.
private final class Root<Value>: @unchecked Sendable {
    var result: Result<Value, any Error>?
}

extension BackendReport {
    /// Makes the backend that the policy asks for.
    static func choose(
        _ policy: BackendPolicy
    ) throws(RuntimeError) -> (any Backend, BackendReport) {
        let (backend, refusals) = BackendSelection.make(policy.candidates)
        let reasons = refusals.map { Refusal(kind: $0.kind, reason: $0.reason) }
        guard let backend else {
            let text = reasons.map { "\($0.kind): \($0.reason)" }.joined(separator: "; ")
            throw RuntimeError(
                .backendUnavailable(
                    "none of those allowed can be had here: \(text); allow another with"
                        + " NORIA_BACKEND=automatic"
                )
            )
        }
        return (
            backend,
            BackendReport(kind: backend.kind, refusals: reasons, features: backend.features)
        )
    }
}

extension TurnBudget {
    init(_ loops: RuntimeConfiguration.Loops) {
        self.init(
            jobsPerTurn: max(1, loops.jobsPerTurn),
            nanosecondsPerTurn: UInt64(loops.timePerTurn.nanoseconds),
            completionsPerTurn: max(1, loops.completionsPerTurn)
        )
    }
}
