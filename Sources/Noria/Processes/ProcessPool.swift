// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaSystem

/// Worker processes that run typed calls: for work that computes long, or may crash.
///
/// `runtime.processes` is the runtime's one. A worker is this program once more, started as the
/// first calls come; it becomes a worker where it reaches `Runtime.main`, `Runtime.run` or
/// `withRuntime`, before any code behind that has run. A worker that traps, is killed or runs out of
/// memory or time costs the call that it ran and no other, and is replaced.
///
/// A worker runs one call at a time on a runtime of its own with one loop, so a call may sleep,
/// connect, and use its own `Runtime.current`. Standard output and error of a worker go to this
/// process's standard error. Its standard input is empty, it has no other descriptor of this process,
/// takes no notice of SIGINT and SIGTERM, which often reach a whole group, and ends at once when
/// this process has ended, however that was.
///
/// After three deaths in five seconds with no result between them the pool starts no worker for a
/// second, then for twice as long each time, up to 30 s; while none is left, calls throw `.resting`.
public final class ProcessPool: Sendable {
    /// A call as a value: its properties are the arguments, `run` is run in a worker.
    ///
    /// Any type but a private one, or one inside of a function, will do: the worker finds it by its
    /// name. Arguments and results travel as JSON; a large block of bytes is cheaper as Foundation's
    /// `Data` than as `[UInt8]`.
    public protocol Call: Codable, Sendable {
        /// What the call results in.
        associatedtype Output: Codable & Sendable
        /// Does the work, in a worker process.
        ///
        /// What it throws reaches the caller as text, in a `ProcessPoolError` of kind `.callFailed`.
        func run() async throws -> Output
    }

    /// What the pool was made with, as the environment has changed it.
    public let configuration: Configuration
    let driver: ProcessPoolDriver

    init(_ runtime: Runtime, isClosed: Bool) {
        configuration = runtime.configuration.processes
        driver = ProcessPoolDriver(
            loop: runtime.eventLoops.main,
            configuration: configuration,
            logger: runtime.configuration.logger,
            isClosed: isClosed
        )
    }

    /// Runs a call in a worker process and waits for its result.
    ///
    /// It waits for a free worker, in the order of the calls. `timeout` counts that wait, too; nil
    /// sets no limit. When it is up, a worker that runs the call is ended. Cancelling ends the
    /// waiting at once; what becomes of a worker that runs the call says
    /// `ProcessPool.Configuration.whenCancelled`. Every call ends once, with its result or an error,
    /// and none is tried again: a call that killed its worker would kill the next.
    ///
    /// Any thread.
    ///
    /// - Throws: `ProcessPoolError`, or `CancellationError`.
    public func run<C: Call>(_ call: C, timeout: Duration? = nil) async throws -> C.Output {
        let name = "\(C.self)"
        let frame = try frame(of: call, name)
        let answer: ProcessPoolDriver.Answer
        if driver.loop.isHome {
            answer = await driver.run(name, frame, timeout: timeout)
        } else {
            answer = await driver.loop.bring { [driver] in
                await driver.run(name, frame, timeout: timeout)
            }
        }
        do { return try CallCoding.decode(C.Output.self, from: try answer.get()) } catch {
            guard error is DecodingError else { throw error }
            throw ProcessPoolError(.callFailed, call: name, "its result can't be decoded: \(error)")
        }
    }

    private func frame<C: Call>(of call: C, _ name: String) throws -> [UInt8] {
        // What can't be found here, in the same program, can't be there.
        guard let typeName = _mangledTypeName(C.self), _typeByName(typeName) != nil else {
            throw ProcessPoolError.notCallable(name)
        }
        let coding: [UInt8]
        do { coding = try CallCoding.encode(call) } catch {
            throw ProcessPoolError(.callFailed, call: name, "it can't be encoded: \(error)")
        }
        guard let frame = WorkerCall(typeName: typeName, coding: coding).frame else {
            throw ProcessPoolError.notCallable(name)
        }
        guard frame.payload.count < configuration.frameByteCountLimit else {
            throw ProcessPoolError.frameTooLarge(
                name,
                "it",
                frame.payload.count,
                limit: configuration.frameByteCountLimit
            )
        }
        return frame.bytes
    }

    /// What the pool does now.
    ///
    /// Any thread.
    public func snapshot() -> ProcessPoolSnapshot {
        ProcessPoolSnapshot(
            driver.published.withLock { $0 },
            roundTrip: driver.roundTrip.snapshot()
        )
    }

    /// Becomes a worker, if a pool started this process to be one; else it returns at once.
    ///
    /// `Runtime.main`, `Runtime.run` and `withRuntime` begin with it. A program that does something
    /// before it reaches one of these calls it first in its `main`, so that no worker does that,
    /// too. In a worker it never returns.
    ///
    /// Main thread only; for a `main` that is `async` there is the same once more.
    @available(*, noasync, message: "it takes this thread over; in an async context 'await' it")
    public static func runWorkerIfNeeded() {
        if let seat = WorkerSeat.take() { Worker(seat).takeOver(.production) }
    }

    /// The same for an `async` main: its worker embeds a runtime, as `withRuntime` does.
    public static func runWorkerIfNeeded() async {
        if let seat = WorkerSeat.take() { await Worker(seat).embed(.production) }
    }
}
