// SPDX-License-Identifier: Apache-2.0
import NoriaEngine
import Testing

@testable import Noria

@Suite("What a runtime says of itself")
struct ReportingTests {
    private func report(_ kind: BackendKind, refused: BackendKind? = nil) -> BackendReport {
        let refusals = refused.map { BackendReport.Refusal(kind: $0, reason: "not permitted") }
        return BackendReport(kind: kind, refusals: refusals.map { [$0] } ?? [], features: [])
    }

    @Test("io_uring and epoll are right for production, poll is not")
    func backend() {
        #expect("\(ProductionCheck.backend(report(.ioUring)))" == "backend: io_uring")
        let fallen = ProductionCheck.backend(report(.epoll, refused: .ioUring))
        #expect(fallen.isOK)
        #expect("\(fallen)" == "backend: epoll (io_uring: not permitted)")
        let slow = ProductionCheck.backend(report(.poll))
        #expect(slow.state == .change)
        #expect("\(slow)".contains("[change: it grows slower"))
    }

    @Test("The default executor must not need half of the threads that are allowed")
    func defaultExecutor() {
        var configuration = ThreadPool.Configuration.blocking
        (configuration.threadLimit, configuration.maximumThreadLimit) = (8, 32)
        let plain = ProductionCheck.defaultExecutor(configuration, threadsAllowed: nil)
        #expect(
            "\(plain)" == "default executor: 8 to 32 threads, 1024 calls queued, then callers wait"
        )
        #expect(ProductionCheck.defaultExecutor(configuration, threadsAllowed: 64).isOK)
        let tight = ProductionCheck.defaultExecutor(configuration, threadsAllowed: 63)
        #expect(tight.state == .change)
        #expect(tight.advice?.contains("63 threads are allowed") == true)
        (configuration.maximumThreadLimit, configuration.whenFull) = (8, .refuse)
        let fixed = ProductionCheck.defaultExecutor(configuration, threadsAllowed: 16)
        #expect("\(fixed)" == "default executor: 8 threads, 1024 calls queued, then it refuses")
    }

    @Test("A debug build is to be changed")
    func optimisation() {
        #expect(ProductionCheck.optimisation(isDebugBuild: false).isOK)
        let debug = ProductionCheck.optimisation(isDebugBuild: true)
        #expect(debug.state == .change)
        #expect(debug.advice?.contains("swift build -c release") == true)
    }

    @Test("A shutdown must begin by SIGTERM, and end before it is cut off")
    func shutdown() {
        var policy = ShutdownPolicy()
        let plain = ProductionCheck.shutdown(policy, failure: nil)
        #expect(plain.isOK)
        #expect("\(plain)" == "signals and deadline: SIGINT,SIGTERM within 25s")
        let failed = ProductionCheck.shutdown(policy, failure: "SIGTERM: Invalid argument")
        #expect(failed.state == .change && failed.finding.contains("not caught: SIGTERM"))
        policy.deadline = .seconds(30)
        let long = ProductionCheck.shutdown(policy, failure: nil)
        #expect(long.state == .change && long.advice?.contains("Kubernetes") == true)
        policy = ShutdownPolicy()
        for signals in [[], [.interrupt]] as [Set<Signal>] {
            policy.signals = signals
            let check = ProductionCheck.shutdown(policy, failure: nil)
            #expect(check.state == .change && check.advice?.contains("SIGTERM") == true)
        }
    }

    @Test("The start-up line is the checks' text")
    func text() {
        let checks = [
            ProductionCheck("a", "found", advice: nil), ProductionCheck("b", "no", advice: "do it"),
        ]
        #expect(checks.text == "a: found; b: no [change: do it]")
    }
}
