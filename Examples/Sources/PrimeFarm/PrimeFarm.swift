// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// Counts primes in a range; its properties are its arguments.
struct CountPrimes: ProcessPool.Call {
    let from: Int
    let to: Int

    func run() -> Int {
        (from..<to).count { number in
            guard number > 1 else { return false }
            var divisor = 2
            while divisor * divisor <= number {
                if number % divisor == 0 { return false }
                divisor += 1
            }
            return true
        }
    }
}

/// What a library with a fault in it does: its process is gone.
struct Crash: ProcessPool.Call {
    func run() -> Int {
        kill(getpid(), SIGKILL)
        return 0
    }
}

/// The primes below a limit, counted by worker processes, one of which is killed: `PrimeFarm [LIMIT]`.
@main
struct PrimeFarm {
    static func main() {
        let limit = CommandLine.arguments.dropFirst().first.map { Int($0) ?? 0 } ?? 200_000
        guard limit > 0 else {
            print("usage: PrimeFarm [LIMIT]")
            exit(64)
        }
        Runtime.main { runtime in
            let farm = runtime.processes
            let total = try await withThrowingTaskGroup(of: Int.self) { group in
                for from in stride(from: 0, to: limit, by: 10_000) {
                    let call = CountPrimes(from: from, to: min(from + 10_000, limit))
                    group.addTask { try await farm.run(call, timeout: .seconds(60)) }
                }
                group.addTask {
                    do { return try await farm.run(Crash()) } catch let error as ProcessPoolError {
                        print("one call failed, and no other: \(error.kind)")
                        return 0
                    }
                }
                return try await group.reduce(0, +)
            }
            let seen = farm.snapshot()
            print("\(total) primes below \(limit)")
            print("\(seen.calls) calls, \(seen.deaths) death, \(seen.workerCount) workers")
        }
    }
}
