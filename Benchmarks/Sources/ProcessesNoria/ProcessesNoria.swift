// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// Sends a text to a worker process and back, one call after the other.
struct EchoText: ProcessPool.Call {
    var text: String
    func run() -> String { text }
}

@main
enum ProcessesNoria {
    static func main() {
        guard CommandLine.arguments.count == 3, let calls = Int(CommandLine.arguments[1]),
            let byteCount = Int(CommandLine.arguments[2]), calls > 0, byteCount >= 0
        else {
            print("usage: processes-noria CALLS BYTES")
            exit(64)
        }
        let configuration = RuntimeConfiguration.production.with { $0.processes.workerCount = 1 }
        Runtime.main(configuration) { runtime in
            let call = EchoText(text: String(repeating: "x", count: byteCount))
            // The worker is started by the first, and warm after some.
            for _ in 0..<500 { _ = try await runtime.processes.run(call) }
            let clock = ContinuousClock()
            let begin = clock.now
            for _ in 0..<calls {
                guard try await runtime.processes.run(call).utf8.count == byteCount else { exit(1) }
            }
            let (seconds, attoseconds) = (clock.now - begin).components
            let nanoseconds = Int(seconds) * 1_000_000_000 + Int(attoseconds / 1_000_000_000)
            print("{\"nanosecondsPerCall\":\(nanoseconds / calls)}")
        }
    }
}
