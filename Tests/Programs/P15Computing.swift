// SPDX-License-Identifier: Apache-2.0
import Noria

@main struct Computing {
    static func main() throws {
        let configuration = RuntimeConfiguration.production.with {
            $0.diagnostics.uncaughtErrors = UncaughtErrorHandler {
                print("lost:", $0.error, "in", $0.task ?? "?")
            }
        }
        let outcome = try Runtime.run(configuration) { runtime in
            try await withThrowingTaskGroup(of: Int.self) { group in
                for n in 0..<8 {
                    group.addTask {
                        try await runtime.compute.run(name: "sum \(n)") { (0...n).reduce(0, +) }
                    }
                }
                return try await group.reduce(0, +)
            }
        }
        print(try outcome.value, outcome.report.exitCode)
    }
}

/// A pool of its own, and what it does.
func reports(_ runtime: Runtime) async throws {
    var configuration = ThreadPool.Configuration.blocking
    configuration.threadLimit = 2
    configuration.maximumThreadLimit = 2
    configuration.queueLimit = 16
    configuration.whenFull = .refuse
    let pool = runtime.makeThreadPool(name: "reports", configuration)
    do {
        try await pool.run { print("made") }
    } catch let error as ThreadPoolError where error.kind == .full {
        print(error, pool.snapshot().queueDepth)
    }
    let task = Task(executorPreference: pool.taskExecutor) { print("off the loops") }
    await task.value
    for address in try await runtime.resolver.addresses(of: "localhost", port: 80) {
        print(address)
    }
}

nonisolated final class Document { var lines: [String] = [] }

/// A job may build and hand back what is not Sendable.
func load(_ runtime: Runtime) async throws -> Document {
    try await runtime.blocking.run {
        let document = Document()
        document.lines.append("read")
        return document
    }
}
