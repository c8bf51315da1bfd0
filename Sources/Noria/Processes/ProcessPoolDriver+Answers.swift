// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem

/// What the callers are told.
extension ProcessPoolDriver {
    func error(_ refusal: ProcessPoolState.Refusal, _ id: CallID) -> any Error {
        let name = calls[id]?.name ?? ""
        switch refusal {
        case .cancelled: return CancellationError()
        case .timedOut:
            let worker = present.first { $0.value == id }?.key
            let tail = worker.flatMap { workers[$0]?.standardErrorTail }
            return ProcessPoolError.timedOut(name, after: calls[id]?.timeout ?? .zero, tail)
        case .queueFull:
            return ProcessPoolError(
                .queueFull,
                call: name,
                "\(configuration.queueLimit) calls wait already ('queueLimit')"
            )
        case .resting:
            return ProcessPoolError(
                .resting,
                call: name,
                "workers died one after the other, so none is started for a while; the last: "
                    + lastTrouble
            )
        case .startFailed: return ProcessPoolError(.startFailed, call: name, startFailure)
        case .closed: return ProcessPoolError.closed(name)
        }
    }

    private var lastTrouble: String {
        switch lastEnd {
        case .unknown: startFailure
        case .exited(let code): "exit code \(code)"
        case .killed(let signal): Child.name(ofSignal: signal)
        }
    }

    func result(of frame: WorkerFrame, _ name: String, _ tail: String) -> Answer {
        func failed(_ reason: String) -> Answer {
            let error = ProcessPoolError(.callFailed, call: name, reason, standardErrorTail: tail)
            return .failure(error)
        }
        switch frame.kind {
        case .result: return .success(frame.payload)
        case .thrown: return failed("it threw: \(frame.text)")
        case .notCoded: return failed(frame.text)
        case .notFound: return .failure(ProcessPoolError.notCallable(name))
        case .tooLarge:
            return .failure(
                ProcessPoolError.frameTooLarge(
                    name,
                    "its result",
                    Int(frame.text) ?? 0,
                    limit: configuration.frameByteCountLimit
                )
            )
        case .call, .hello, .outOfMemory: return failed("the worker answered with a \(frame.kind)")
        }
    }
}

/// The timers of a pool.
final class DriverTimers: TimerOwner {
    enum Kind: UInt { case call, hello, wake, dismissal }

    private unowned let driver: ProcessPoolDriver
    init(_ driver: ProcessPoolDriver) { self.driver = driver }

    static func context(_ kind: Kind, _ id: UInt64) -> UInt { UInt(id) << 2 | kind.rawValue }

    func timerFired(_ context: UInt) {
        let id = UInt64(context >> 2)
        switch Kind(rawValue: context & 3) {
        case .call: driver.timeIsUp(id)
        case .hello: driver.helloIsOverdue(id)
        case .wake: driver.wake()
        case .dismissal: driver.dismissalIsOverdue()
        case nil: break
        }
    }
}
