// SPDX-License-Identifier: Apache-2.0
import Noria

struct HashPassword: ProcessPool.Call {
    var password: String
    var cost: Int
    func run() throws -> String { bcrypt(password, cost) }
}

nonisolated func bcrypt(_ password: String, _ cost: Int) -> String { "\(password.count) \(cost)" }

@main struct Passwords {
    static func main() {
        Runtime.main { runtime in
            try await TCPListener.bind(host: "0.0.0.0", port: 7006).serve { connection in
                for try await line in connection.inbound.lines() {
                    do {
                        let call = HashPassword(password: line, cost: 12)
                        let hash = try await runtime.processes.run(call, timeout: .seconds(2))
                        try await connection.outbound.write("OK \(hash)\n")
                    } catch let error as ProcessPoolError {
                        try await connection.outbound.write("ERR \(error)\n")
                    }
                }
            }
        }
    }
}

/// What else the API of processes says.
func everything(_ runtime: Runtime) async throws -> Bool {
    ProcessPool.runWorkerIfNeededOfMine()
    let configuration = RuntimeConfiguration.production.with {
        $0.processes.workerCount = 4
        $0.processes.executable = FilePath("/usr/lib/worker")
        $0.processes.helloTimeout = .seconds(5)
        $0.processes.memoryByteCountLimit = 1 << 30
        $0.processes.frameByteCountLimit = 1 << 20
        $0.processes.whenCancelled = .killWorker
    }
    let snapshot: ProcessPoolSnapshot = runtime.processes.snapshot()
    do { _ = try await runtime.processes.run(HashPassword(password: "", cost: 4)) } catch let error
        as ProcessPoolError
    {
        switch error.kind {
        case .killed(let signal): return signal == .terminate
        case .exited(let code): return code == 0
        case .outOfMemory, .timedOut, .frameTooLarge, .resting, .notCallable, .callFailed:
            return error.standardErrorTail.isEmpty && error.call == "HashPassword"
        default: return false
        }
    }
    return snapshot.busyCount == 0 && configuration.processes.workerCount == 4
}

extension ProcessPool {
    /// A main that does something before it reaches the runtime.
    static func runWorkerIfNeededOfMine() { runWorkerIfNeeded() }
}
