// SPDX-License-Identifier: Apache-2.0
import Noria

/// How many jobs an operation costs: the column "V5" of the executors' facts.
enum Enqueues {
    private actor Plain { func nothing() {} }

    @concurrent private static func nothing() async {}

    /// Jobs per operation over many, rounded: the counting itself costs none.
    private static func count(
        _ name: String,
        _ loop: EventLoop,
        _ operation: () async throws -> Void
    ) async rethrows {
        let rounds = 1000
        let before = loop.jobCount
        for _ in 0..<rounds { try await operation() }
        let jobs = Double(loop.jobCount - before) / Double(rounds)
        print("\(name): \(Int(jobs.rounded()))")
    }

    static func run() {
        _ = try? Runtime.run(NoriaProbe.configuration) { runtime in
            let loop = runtime.eventLoops.main
            let plain = Plain()
            await count("concurrent call", loop) { await nothing() }
            await count("default actor and back", loop) { await plain.nothing() }
            await count("yield", loop) { await Task.yield() }
            await count("task value", loop) { await Task {}.value }
            await count("async let", loop) {
                async let value = 1
                _ = await value
            }
            await count("group", loop) {
                await withTaskGroup(of: Void.self) { group in
                    group.addTask {}
                    await group.next()
                }
            }
            await count("cancellation handler", loop) {
                await withTaskCancellationHandler {
                } onCancel: {
                }
            }
        }
    }
}
