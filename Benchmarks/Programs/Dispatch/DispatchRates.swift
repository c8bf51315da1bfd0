// SPDX-License-Identifier: Apache-2.0
import Dispatch

/// `DispatchQueue.global()` under the same two questions as Noria's pool: `Benchmarks/offload`.
///
/// It has no limit that one could set, and no queue that is bounded.
@main
enum DispatchRates {
    static func main() async {
        switch CommandLine.arguments.dropFirst().first {
        case "round trips":
            let count = Int(CommandLine.arguments.dropFirst(2).first ?? "") ?? 100_000
            for _ in 0..<1_000 { _ = await run { 1 } }
            let begin = ContinuousClock.now
            for _ in 0..<count { _ = await run { 1 } }
            report("round trips", count, begin.duration(to: .now))
        case "contention":
            let begin = ContinuousClock.now
            await withDiscardingTaskGroup { group in
                for _ in 0..<1_000 {
                    group.addTask { for _ in 0..<1_000 { _ = await run { 1 } } }
                }
            }
            report("contention", 1_000_000, begin.duration(to: .now))
        default: print("usage: dispatch-rates \"round trips\" [COUNT] | contention")
        }
    }

    /// What one writes where there is no pool.
    private static func run(_ body: @escaping @Sendable () -> Int) async -> Int {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(returning: body()) }
        }
    }

    private static func report(_ name: String, _ count: Int, _ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        print(
            "\(name): \(count) operations \(seconds * 1_000_000_000 + attoseconds / 1_000_000_000) ns"
        )
    }
}
