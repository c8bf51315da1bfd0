// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// Programs that own their main and embed the runtime, for tests; in plain Swift 6, as a user has it.
///
/// Each prints what it saw, one fact a line, for the test to judge.
@main
struct EmbeddedProbe {
    static func main() async throws {
        await ProcessPool.runWorkerIfNeeded()
        let arguments = CommandLine.arguments.dropFirst()
        let number = arguments.last.flatMap { Int($0) } ?? 0
        switch arguments.first {
        case "banner": try await banner(port: number)
        case "cycles": try await Cycles.run(loopCount: number)
        case "late": try await Ends.late(port: number)
        case "throws": try await Ends.throwing()
        case "processes": try await processes()
        case "grouped": try await Grouped.run()
        case "signals": try await Ends.signals()
        default:
            print("usage: EmbeddedProbe NAME NUMBER")
            exit(64)
        }
    }

    /// The embedded program of the plan: a captured `var`, and no takeover.
    private static func banner(port: Int) async throws {
        var lines = 0
        let banner = try await withRuntime { runtime in
            try await withTCPConnection(host: "127.0.0.1", port: port) { connection in
                while let line = try await connection.inbound.readLine() {
                    lines += 1
                    if line.hasPrefix("220 ") { return line }
                }
                return ""
            }
        }
        print(banner, lines)
    }

    private static func processes() async throws {
        let answer = try await withRuntime { runtime in
            try await runtime.processes.run(SumCall(numbers: Array(1...100)))
        }
        print("sum: \(answer.sum), elsewhere: \(answer.place != getpid())")
    }
}

/// A call in the manner of a user's.
struct SumCall: ProcessPool.Call {
    struct Output: Codable, Sendable {
        let sum: Int
        let place: Int32
    }
    let numbers: [Int]
    func run() async throws -> Output {
        await Task.yield()
        return Output(sum: numbers.reduce(0, +), place: getpid())
    }
}
