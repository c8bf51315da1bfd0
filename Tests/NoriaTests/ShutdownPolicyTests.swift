// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Noria

extension Duration {
    fileprivate var milliseconds: Int {
        Int(components.seconds) * 1000
            + Int((Double(components.attoseconds) / 1e15).rounded())
    }
}

/// DESIGN §9: the steps of a shutdown within its one deadline.
@Suite("ShutdownPolicy shares one deadline out")
struct ShutdownPolicyTests {
    private func policy(_ deadline: Duration) -> ShutdownPolicy {
        var policy = ShutdownPolicy()
        policy.deadline = deadline
        return policy
    }

    @Test("The default stays under the 30 s of Kubernetes: 25 s, by SIGTERM and SIGINT")
    func defaults() {
        let policy = ShutdownPolicy()
        #expect(policy.deadline == .seconds(25))
        #expect(policy.signals == [.terminate, .interrupt])
        #expect(policy.drainBudget == .seconds(22))
        #expect(policy.cancelBudget == .seconds(24))
        #expect(policy.settleTime == .seconds(2))
    }

    @Test("From 12 s on the last 3 s cancel and the last second closes")
    func long() {
        for seconds in [12, 13, 60, 3600] {
            #expect(policy(.seconds(seconds)).drainBudget == .seconds(seconds - 3))
            #expect(policy(.seconds(seconds)).cancelBudget == .seconds(seconds - 1))
        }
    }

    @Test(
        "Under 12 s the steps are 70 % and 90 % of the time before the last words",
        arguments: [(10_000, 6825, 8775), (2000, 1225, 1575), (1000, 525, 675), (800, 420, 540)]
    )
    func short(deadline: Int, drain: Int, cancel: Int) {
        // The last words begin 250 ms before the deadline, at 75 % of one under a second.
        let policy = policy(.milliseconds(deadline))
        #expect(policy.drainBudget.milliseconds == drain)
        #expect(policy.cancelBudget.milliseconds == cancel)
    }

    @Test("The settle time is 2 s, at most a tenth of the deadline")
    func settle() {
        #expect(policy(.seconds(60)).settleTime == .seconds(2))
        #expect(policy(.seconds(20)).settleTime.milliseconds == 2000)
        #expect(policy(.seconds(5)).settleTime.milliseconds == 500)
        #expect(policy(.milliseconds(100)).settleTime.milliseconds == 10)
    }

    @Test("The steps keep their order at every deadline")
    func order() {
        for milliseconds in stride(from: 10, through: 40_000, by: 10) {
            let policy = policy(.milliseconds(milliseconds))
            #expect(.zero < policy.settleTime)
            #expect(policy.settleTime < policy.drainBudget)
            #expect(policy.drainBudget < policy.cancelBudget)
            #expect(policy.cancelBudget < policy.deadline)
        }
    }

    @Test("Exit codes are those that shells and service managers know")
    func exitCodes() {
        #expect(ExitCode.clean.rawValue == 0)
        #expect(ExitCode.failure.rawValue == 1)
        #expect(ExitCode.abandoned.rawValue == 70)
        #expect(ExitCode.configuration.rawValue == 78)
        #expect(ExitCode.signal(.terminate).rawValue == 143)
        #expect(ExitCode.signal(.interrupt).rawValue == 130)
    }

    @Test("A report is clean when nothing had to be cancelled")
    func report() {
        func report(
            _ code: ExitCode,
            cancelled: [String],
            uncaught: UncaughtErrorCounts = .none
        ) -> ShutdownReport {
            ShutdownReport(
                reason: "SIGTERM",
                exitCode: code,
                phases: [],
                drained: ["a"],
                cancelled: cancelled,
                abandoned: [],
                errors: [],
                uncaughtErrors: uncaught
            )
        }
        #expect(report(.clean, cancelled: []).isClean)
        #expect(!report(.clean, cancelled: ["body"]).isClean)
        #expect(!report(.failure, cancelled: []).isClean)
        let text = "\(report(.clean, cancelled: ["body"]))"
        #expect(text == "SIGTERM: exit code 0, 1 drained, 1 cancelled")
        let some = UncaughtErrorCounts(reported: 2, suppressed: 3)
        #expect(
            "\(report(.clean, cancelled: [], uncaught: some))"
                == "SIGTERM: exit code 0, 1 drained, 0 cancelled, "
                + "5 uncaught errors (2 reported, 3 held back)"
        )
    }

    @Test("Phases are ordered as they come")
    func phases() {
        let phases: [Shutdown.Phase] = [.running, .draining, .cancelling, .closing, .ended]
        #expect(phases.sorted() == phases)
        #expect(zip(phases, phases.dropFirst()).allSatisfy { $0 < $1 })
    }

    @Test("Signals have the names of signal(7)")
    func signalNames() {
        #expect(
            "\(Signal.terminate) \(Signal.interrupt) \(Signal.hangup)" == "SIGTERM SIGINT SIGHUP"
        )
        #expect("\(Signal(rawValue: 35))" == "signal 35")
    }
}
