// SPDX-License-Identifier: Apache-2.0
import NIOPosix

/// `NIOThreadPool` under the same two questions as Noria's pool: `Benchmarks/offload`.
@main
enum NIOThreadPoolRates {
    static func main() async throws {
        let pool = NIOThreadPool(numberOfThreads: 8)
        pool.start()
        switch CommandLine.arguments.dropFirst().first {
        case "round trips":
            let count = Int(CommandLine.arguments.dropFirst(2).first ?? "") ?? 100_000
            for _ in 0..<1_000 { _ = try await pool.runIfActive { 1 } }
            let begin = ContinuousClock.now
            for _ in 0..<count { _ = try await pool.runIfActive { 1 } }
            report("round trips", count, begin.duration(to: .now))
        case "contention":
            let begin = ContinuousClock.now
            try await withThrowingDiscardingTaskGroup { group in
                for _ in 0..<1_000 {
                    group.addTask {
                        for _ in 0..<1_000 { _ = try await pool.runIfActive { 1 } }
                    }
                }
            }
            report("contention", 1_000_000, begin.duration(to: .now))
        default: print("usage: nio-thread-pool-rates \"round trips\" [COUNT] | contention")
        }
        try await pool.shutdownGracefully()
    }

    private static func report(_ name: String, _ count: Int, _ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        print(
            "\(name): \(count) operations \(seconds * 1_000_000_000 + attoseconds / 1_000_000_000) ns"
        )
    }
}
