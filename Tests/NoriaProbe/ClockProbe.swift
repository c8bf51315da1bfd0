// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// Sleeps by the runtime's clock.
enum ClockProbe {
    static func run() {
        do {
            let outcome = try Runtime.run(NoriaProbe.configuration) { runtime in
                let clock = runtime.clock
                let begin = clock.now
                try await clock.sleep(for: .milliseconds(20))
                print("early: \(begin.duration(to: clock.now) < .milliseconds(20))")
                try await clock.sleep(until: begin - .seconds(5))
                print("past: \(NoriaProbe.place())")
                let order = await withTaskGroup(of: Int.self) { group in
                    for milliseconds in [30, 10, 20] {
                        group.addTask {
                            try? await clock.sleep(until: begin + .milliseconds(50 + milliseconds))
                            return milliseconds
                        }
                    }
                    return await group.reduce(into: []) { $0.append($1) }
                }
                print("order: \(order)")
                try await cancelled(clock, runtime)
                try await elsewhere(clock)
                await onMain(clock)
            }
            print("ended: \(try outcome.value)")
        } catch { print("failed: \(error)") }
    }

    /// A sleep that is cancelled leaves no timer, whenever that was.
    private static func cancelled(_ clock: RuntimeClock, _ runtime: Runtime) async throws {
        let loop = runtime.eventLoops.main
        while loop.snapshot().timersPending > 0 { await Task.yield() }
        for early in [true, false] {
            let task = Task {
                do { try await clock.sleep(for: .seconds(3600)) } catch { return "\(error)" }
                return "slept"
            }
            if !early {
                while loop.snapshot().timersPending == 0 { await Task.yield() }
            }
            task.cancel()
            print("cancelled \(early ? "early" : "late"): \(await task.value)")
        }
        let longest = Task { try await clock.sleep(until: clock.now + .seconds(Int64.max / 2)) }
        while loop.snapshot().timersPending == 0 { await Task.yield() }
        longest.cancel()
        print("for ever: \(await longest.result)")
        while loop.snapshot().timersPending > 0 { await Task.yield() }
        print("no timer left")
    }

    private static func elsewhere(_ clock: RuntimeClock) async throws {
        let executor = Elsewhere.ForeignExecutor()
        try await withTaskExecutorPreference(executor) { @concurrent in
            let begin = clock.now
            try await clock.sleep(for: .milliseconds(5))
            print("early: \(begin.duration(to: clock.now) < .milliseconds(5))")
            print("elsewhere: \(NoriaProbe.place())")
            let task = Task(executorPreference: executor) {
                try await clock.sleep(for: .seconds(3600))
            }
            task.cancel()
            print("cancelled: \(await task.result)")
        }
    }

    @MainActor private static func onMain(_ clock: RuntimeClock) async {
        try? await clock.sleep(for: .milliseconds(1))
        MainActor.assertIsolated()
        print("on main: \(NoriaProbe.place())")
    }
}
