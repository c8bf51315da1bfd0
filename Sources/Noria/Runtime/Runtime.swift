// SPDX-License-Identifier: Apache-2.0
internal import Logging
public import NoriaEngine
internal import NoriaSystem
internal import Synchronization
internal import SystemPackage

/// The runtime under a program: its loops, its end.
///
/// `Runtime.run` takes the process over: the main thread becomes loop 0, and `Task`, actors,
/// `@MainActor` and `Task.sleep` run on it from then on.
public final class Runtime: Sendable {
    /// The configuration, as the environment has changed it.
    public let configuration: RuntimeConfiguration
    /// Which backend runs, and why not another.
    public let backend: BackendReport
    /// The end of this runtime.
    public let shutdown: Shutdown

    private static let present = Mutex<Runtime?>(nil)

    /// The runtime that runs in this process, or nil.
    ///
    /// Any thread.
    public static var current: Runtime? { present.withLock { $0 } }

    private init(configuration: RuntimeConfiguration, backend: BackendReport) {
        self.configuration = configuration
        self.backend = backend
        shutdown = Shutdown(
            loop: ExecutorInstallation.mainLoop,
            policy: configuration.shutdown,
            logger: configuration.logger
        )
    }

    /// Asserts that `kind` runs.
    ///
    /// - Throws: `.backendUnavailable` with the reasons, when another does.
    public func requireBackend(_ kind: BackendKind) throws(RuntimeError) {
        guard backend.kind != kind else { return }
        throw RuntimeError(.backendUnavailable("\(kind) was required and \(backend) runs"))
    }

    // MARK: Running

    /// Runs `body` and ends the process with the exit code that came of it.
    ///
    /// A failure to start is written to standard error, and ends it with 78.
    @available(
        *,
        noasync,
        message: "it takes this thread over; in an async context use 'withRuntime'"
    )
    public static func main(
        _ configuration: RuntimeConfiguration = .production,
        _ body: sending @escaping (Runtime) async throws -> Void
    ) -> Never {
        do {
            let outcome = try run(configuration, body)
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
        _ body: sending @escaping (Runtime) async throws -> Value
    ) throws(RuntimeError) -> RuntimeOutcome<Value> {
        guard Thread.isMain else { throw RuntimeError(.notOnMainThread) }
        guard current == nil, EventLoop.current == nil else {
            throw RuntimeError(.alreadyRunning("end it first, or use the one that runs"))
        }
        let configuration = try configuration.withEnvironment()
        let (backend, report) = try BackendReport.choose(configuration.backend)
        ExecutorInstallation.install()
        let runtime = Runtime(configuration: configuration, backend: report)
        return runtime.turn(Engine(backend: backend), body)
    }

    private func turn<Value: Sendable>(
        _ engine: Engine,
        _ body: sending @escaping (Runtime) async throws -> Value
    ) -> RuntimeOutcome<Value> {
        let loop = ExecutorInstallation.mainLoop
        let signals = SignalWatch(runtime: self, loop: loop)
        Self.present.withLock { $0 = self }
        loop.begin(engine: engine)
        ExecutorInstallation.setRunning(true)
        signals.begin()
        let root = Root<Value>()
        let task = Task(name: "noria body") { [self] in
            do { root.result = .success(try await body(self)) } catch {
                root.result = .failure(error)
            }
            loop.finish()
        }
        shutdown.onCancel { task.cancel() }
        loop.run(TurnBudget(configuration.loops))
        signals.end()
        ExecutorInstallation.setRunning(false)
        loop.end()
        Self.present.withLock { $0 = nil }
        guard let result = root.result else {
            preconditionFailure("the loop ended without a result")
        }
        let report = shutdown.end(exitCode: exitCode(of: result))
        configuration.logger.info("ended: \(report)")
        if let signal = signals.deadly { SignalInbox.endProcess(by: signal.rawValue) }
        return RuntimeOutcome(result: result, report: report)
    }

    private func exitCode<Value>(of result: Result<Value, any Error>) -> ExitCode {
        switch result {
        case .success: .clean
        // What a shutdown cancelled has ended as it should.
        case .failure(let error):
            error is CancellationError && shutdown.phase >= .cancelling ? .clean : .failure
        }
    }

    /// Takes an error that nobody awaits.
    ///
    /// Cancellation is no error while a shutdown cancels.
    func report(_ error: any Error, on connection: TCPConnection) {
        if error is CancellationError, shutdown.phase != .running { return }
        configuration.logger.error("\(connection): the handler threw: \(error)")
    }
}

/// What the body left, written on the loop and read by it.
///
/// SAFETY: the body's task runs on the loop that waits for it, and no one else has the object.
private final class Root<Value>: @unchecked Sendable {
    var result: Result<Value, any Error>?
}

/// What came of a run.
public struct RuntimeOutcome<Value: Sendable>: Sendable {
    /// What the body returned or threw.
    public let result: Result<Value, any Error>
    /// How it ended.
    public let report: ShutdownReport

    /// What the body returned.
    ///
    /// - Throws: what the body threw.
    public var value: Value { get throws { try result.get() } }
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

extension RuntimeConfiguration {
    /// The configuration with what `NORIA_*` variables say.
    func withEnvironment() throws(RuntimeError) -> Self {
        guard readsEnvironment, let text = Thread.environment("NORIA_BACKEND"), !text.isEmpty else {
            return self
        }
        guard let policy = BackendPolicy(argument: text) else {
            throw RuntimeError(
                .configuration(
                    "NORIA_BACKEND=\(text) is no backend: automatic, io_uring, epoll or poll"
                )
            )
        }
        return with { $0.backend = policy }
    }
}
