// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// Signals that a program asks for, sent by the test.
enum SignalProbe {
    private static func say(_ text: String) {
        print(text)
        fflush(nil)
    }

    /// What stands for a signal: `default`, `ignored` or `caught`.
    private static func disposition(of number: Int32) -> String {
        var action = sigaction()
        sigaction(number, nil, &action)
        return switch unsafeBitCast(action.__sigaction_handler.sa_handler, to: UInt.self) {
        case 0: "default"
        case 1: "ignored"
        default: "caught"
        }
    }

    /// Two callers get each signal each, until a shutdown begins.
    static func two() {
        // What stood there before is not always the default.
        signal(SIGUSR1, SIG_IGN)
        let outcome = try? Runtime.run(NoriaProbe.configuration) { runtime in
            for name in ["a", "b"] {
                let signals = runtime.signals(.hangup, .user1)
                runtime.spawn(name: name) {
                    for await signal in signals { say("\(name): \(signal)") }
                    say("\(name): ended")
                }
            }
            say("ready")
            try await runtime.shutdown.requested()
            // A reload that comes too late must not cut the drain short.
            kill(getpid(), SIGHUP)
            var late = runtime.signals(.hangup).makeAsyncIterator()
            say("too late: \(await late.next().map { "\($0)" } ?? "ended")")
        }
        say("exit code: \(outcome?.report.exitCode.rawValue ?? -1)")
        say("SIGHUP \(disposition(of: SIGHUP)), SIGUSR1 \(disposition(of: SIGUSR1))")
    }

    /// A signal that nobody awaits any more does again what it did before.
    static func givenBack() {
        Runtime.main(NoriaProbe.configuration) { runtime in
            let cancelled = await firstOfTwo(runtime)
            cancelled.cancel()
            say("cancelled: \(await cancelled.value)")
            // The task lets go of its copy as it ends.
            while disposition(of: SIGUSR2) == "caught" { await Task.yield() }
            say("none left: \(disposition(of: SIGUSR2))")
            try await runtime.shutdown.requested()
        }
    }

    /// Takes one signal, and leaves a task behind that has it asked for, too.
    private static func firstOfTwo(_ runtime: Runtime) async -> Task<Bool, Never> {
        let (first, second) = (runtime.signals(.user2), runtime.signals(.user2))
        say("ready")
        for await signal in first {
            say("got \(signal)")
            break
        }
        say("one left: \(disposition(of: SIGUSR2))")
        return Task {
            for await _ in second {}
            // A cancellation ends the wait, and each that is still to come.
            var iterator = second.makeAsyncIterator()
            return await iterator.next() == nil
        }
    }

    /// Who asks for SIGTERM gets it, and the shutdown begins all the same.
    static func shutdownSignal() {
        Runtime.main(NoriaProbe.configuration) { runtime in
            let signals = runtime.signals(.terminate)
            say("ready")
            for await signal in signals { say("got \(signal)") }
            say("ended in phase \(runtime.shutdown.phase)")
        }
    }

    /// What can't be caught, signals that come together, a caller on an actor.
    static func edges() {
        let outcome = try? Runtime.run(NoriaProbe.configuration) { runtime in
            let never = runtime.signals(
                Signal(rawValue: SIGKILL),
                Signal(rawValue: SIGSEGV),
                Signal(rawValue: SIGPIPE),
                Signal(rawValue: 0),
                Signal(rawValue: -1),
                Signal(rawValue: 64),
                Signal(rawValue: 1000)
            )
            runtime.spawn(name: "never") {
                for await signal in never { say("never: \(signal)") }
                say("never: ended")
            }
            let signals = runtime.signals(.hangup, .user1, .hangup)
            for number in [SIGUSR1, SIGHUP] { kill(getpid(), number) }
            var seen: [String] = []
            var iterator = signals.makeAsyncIterator()
            for _ in 0..<2 { seen.append(await iterator.next().map { "\($0)" } ?? "end") }
            say("together: \(seen.sorted())")
            kill(getpid(), SIGHUP)
            say("on main: \(await onMain(signals))")
        }
        say("exit code: \(outcome?.report.exitCode.rawValue ?? -1)")
    }

    @MainActor private static func onMain(_ signals: Signals) async -> String {
        for await signal in signals {
            MainActor.assertIsolated()
            return "\(signal)"
        }
        return "end"
    }
}
