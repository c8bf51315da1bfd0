// SPDX-License-Identifier: Apache-2.0
@preconcurrency import Glibc
import Noria
import NoriaSystem

/// What is done at the end, and ends that do not come by themselves.
enum EndActions {
    private struct Mistake: Error {}

    static func run() {
        do {
            let outcome = try Runtime.run(NoriaProbe.configuration) { runtime in
                runtime.onShutdown(name: "first") { print("first \(Task.isCancelled)") }
                runtime.onShutdown(name: "second") {
                    try await Task.sleep(for: .milliseconds(20))
                    print("second \(Task.isCancelled)")
                }
                runtime.onShutdown(name: "wrong") { throw Mistake() }
                print("blocking: \(try await runtime.blocking.run { 1 })")
                runtime.onShutdown(name: "last") {
                    // The pools end after it.
                    print("last: \(try await runtime.blocking.run { 2 })")
                    runtime.onShutdown(name: "added") { print("added") }
                }
                if CommandLine.arguments.contains("asked") {
                    runtime.shutdown.request(reason: "asked")
                    // Until it is cancelled.
                    try await Task.sleep(for: .seconds(60))
                }
            }
            print("errors: \(outcome.report.errors)")
            print("phases: \(outcome.report.phases.map(\.phase.rawValue))")
            print("code: \(outcome.report.exitCode.rawValue)")
        } catch { print("failed: \(error)") }
    }

    /// The body returns, and what is to be done then never ends.
    static func stuck() {
        Runtime.main { runtime in
            runtime.onShutdown(name: "lease") {
                await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in }
            }
        }
    }

    /// A job holds the lock of standard error, which the log needs, and never ends.
    static func withLockHeld() {
        Runtime.main(NoriaProbe.configuration.with { $0.shutdown.deadline = .seconds(2) }) {
            runtime in
            runtime.spawn(name: "holder") {
                try await runtime.blocking.run(name: "stuck-job") {
                    flockfile(stderr)
                    Thread.write("held\n", to: 1)
                    while true { pause() }
                }
            }
            while true { try? await Task.sleep(for: .seconds(60)) }
        }
    }
}
