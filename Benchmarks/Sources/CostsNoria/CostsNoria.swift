// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// How many tasks a batch has, and what COUNT is a multiple of.
let batch = 1000

/// Does one operation so many times on one loop, and prints the CPU time that it took and the backend.
@main struct CostsNoria {
    static func main() {
        let arguments = CommandLine.arguments
        guard arguments.count == 3, let operation = Operation(rawValue: arguments[1]),
            let count = Int(arguments[2]), count > 0, count % batch == 0
        else {
            let names = Operation.allCases.map(\.rawValue).joined(separator: "|")
            let usage = "usage: \(arguments[0]) \(names) COUNT (a multiple of \(batch))\n"
            write(STDERR_FILENO, usage, usage.utf8.count)
            exit(2)
        }
        Runtime.main { runtime in
            let nanoseconds = await measure(operation, count, on: runtime.eventLoops.main)
            print(operation.rawValue, count, nanoseconds, runtime.backend.kind)
            fflush(nil)
        }
    }

    /// Concurrent, so that it runs as what belongs to no actor.
    @concurrent private static func measure(
        _ operation: Operation,
        _ count: Int,
        on loop: EventLoop
    ) async -> UInt64 {
        let start = cpuNanoseconds()
        switch operation {
        case .job: await runBareJobs(count)
        case .hop: await hop(count, on: loop)
        case .park: await park(count)
        case .task: await spawnTasks(count)
        case .child: await spawnChildren(count)
        }
        return cpuNanoseconds() - start
    }

    private static func cpuNanoseconds() -> UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now)
        return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    }
}

private enum Operation: String, CaseIterable {
    case job, hop, park, task, child
}
