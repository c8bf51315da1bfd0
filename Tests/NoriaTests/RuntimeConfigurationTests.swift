// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Noria

@Suite("RuntimeConfiguration and BackendPolicy")
struct RuntimeConfigurationTests {
    @Test("The defaults are those of the documentation")
    func defaults() {
        let configuration = RuntimeConfiguration.production
        #expect(configuration.backend == .automatic)
        #expect(configuration.loops.jobsPerTurn == 61)
        #expect(configuration.loops.timePerTurn == .milliseconds(1))
        #expect(configuration.loops.completionsPerTurn == 256)
        #expect(configuration.network.limits.highMarkByteCount == 65_536)
        #expect(configuration.network.limits.lowMarkByteCount == 16_384)
        #expect(configuration.readsEnvironment)
    }

    @Test("A copy with changes leaves the original as it was")
    func with() {
        let original = RuntimeConfiguration.production
        let changed = original.with { $0.loops.jobsPerTurn = 7 }
        #expect(changed.loops.jobsPerTurn == 7)
        #expect(original.loops.jobsPerTurn == 61)
    }

    @Test("A budget is at least one job and one completion, or the loop would never get on")
    func budget() {
        let configuration = RuntimeConfiguration.production.with {
            $0.loops.jobsPerTurn = 0
            $0.loops.completionsPerTurn = -5
            $0.loops.timePerTurn = .seconds(-1)
        }
        let budget = TurnBudget(configuration.loops)
        #expect(budget.jobsPerTurn == 1)
        #expect(budget.completionsPerTurn == 1)
        #expect(budget.nanosecondsPerTurn == 0)
    }

    @Test("Policies name their candidates in order")
    func candidates() {
        #expect(BackendPolicy.automatic.candidates == [.ioUring, .epoll, .poll])
        #expect(BackendPolicy.prefer(.poll).candidates == [.poll, .ioUring, .epoll])
        #expect(BackendPolicy.prefer(.ioUring).candidates == [.ioUring, .epoll, .poll])
        #expect(BackendPolicy.require(.epoll).candidates == [.epoll])
        #expect(BackendPolicy.require(.epoll).isRequired)
        #expect(!BackendPolicy.prefer(.epoll).isRequired)
    }

    @Test("Excluding takes kinds out of any policy")
    func excluding() {
        #expect(BackendPolicy.automatic.excluding(.ioUring).candidates == [.epoll, .poll])
        #expect(BackendPolicy.automatic.excluding(.epoll, .poll).candidates == [.ioUring])
        #expect(BackendPolicy.prefer(.poll).excluding(.poll).candidates == [.ioUring, .epoll])
        #expect(BackendPolicy.require(.epoll).excluding(.epoll).candidates == [])
        #expect(BackendPolicy.require(.epoll).excluding(.epoll).isRequired)
    }

    @Test("An argument is one of four words, spelt so")
    func arguments() {
        #expect(BackendPolicy(argument: "automatic") == .automatic)
        #expect(BackendPolicy(argument: "io_uring") == .require(.ioUring))
        #expect(BackendPolicy(argument: "epoll") == .require(.epoll))
        #expect(BackendPolicy(argument: "poll") == .require(.poll))
        for text in ["", "simulated", "EPOLL", " epoll", "epoll ", "ioUring", "io-uring", "kqueue"]
        {
            #expect(BackendPolicy(argument: text) == nil, "\(text)")
        }
    }

    @Test(
        "A time is a whole number with its unit",
        arguments: [
            ("500us", .microseconds(500)), ("20ms", .milliseconds(20)), ("25s", .seconds(25)),
            ("2m", .seconds(120)), ("0s", .zero), ("7ns", .nanoseconds(7)), ("007s", .seconds(7)),
            ("1000000000s", .seconds(1_000_000_000)),
        ] as [(String, Duration)]
    )
    func times(text: String, duration: Duration) {
        #expect(Duration(text: text) == duration)
    }

    @Test(
        "What is no such time is refused",
        arguments: [
            "", "s", "0", "-1s", "+1s", "1", "1 ms", " 1ms", "1ms ", "1.5s", "1h", "1S", "1e3s",
            "1000000001s", "99999999999999999999s", "٣s", "1sms", "m5",
        ]
    )
    func noTimes(text: String) {
        #expect(Duration(text: text) == nil)
    }

    @Test("Errors of a runtime are sentences that say what to do")
    func errors() {
        #expect("\(RuntimeError(.noRuntime))".contains("call it inside 'Runtime.run'"))
        #expect("\(RuntimeError(.notOnMainThread))".contains("plain 'static func main()'"))
        #expect("\(RuntimeError(.configuration("X=1 is no Y")))" == "configuration: X=1 is no Y")
    }

    @Test("A report names the backend and why others were refused")
    func report() {
        let plain = BackendReport(kind: .ioUring, refusals: [], features: [])
        #expect("\(plain)" == "io_uring")
        let refused = BackendReport(
            kind: .epoll,
            refusals: [.init(kind: .ioUring, reason: "not permitted")],
            features: []
        )
        #expect("\(refused)" == "epoll (io_uring: not permitted)")
    }
}
