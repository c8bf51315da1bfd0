// SPDX-License-Identifier: Apache-2.0
import Noria

/// Time-outs and deadlines.
enum Timeouts {
    private actor Home {
        private var steps = 0
        func step() async throws -> Int {
            try await withTimeout(.seconds(5), name: "step") {
                steps += 1
                await Task.yield()
                return steps
            }
        }
    }

    static func run() {
        _ = try? Runtime.run(NoriaProbe.configuration) { _ in
            print("in time: \(try await withTimeout(.seconds(5)) { 42 })")
            do {
                try await withTimeout(.milliseconds(20), name: "nap") {
                    try await Task.sleep(for: .seconds(60))
                }
            } catch { print("late: \(error)") }
            let kept = try await withTimeout(.milliseconds(1), name: "slow") {
                try? await Task.sleep(for: .milliseconds(30))
                return "kept"
            }
            print("after all: \(kept)")
            do {
                try await withDeadline(.now - .seconds(1), name: "past") {
                    try await Task.sleep(for: .seconds(60))
                }
            } catch { print("past: \(error is TimeoutError)") }
            do {
                try await withTimeout(.seconds(5)) { throw Runs.Mistake() }
            } catch { print("own error: \(error)") }
            let outer = Task {
                try await withTimeout(.seconds(60)) { try await Task.sleep(for: .seconds(60)) }
            }
            await Task.yield()
            outer.cancel()
            do { try await outer.value } catch { print("cancelled from outside: \(error)") }
            print("on an actor: \(try await Home().step())")
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            try await withTCPConnection(host: "127.0.0.1", port: listener.localAddress.port ?? 0) {
                connection in
                do {
                    _ = try await withTimeout(.milliseconds(20), name: "greeting") {
                        try await connection.inbound.readLine()
                    }
                } catch { print("silent peer: \(error)") }
            }
            await listener.close()
            // The accept queue was never served: the order of these lines is the whole test.
            var order: [Int] = []
            try await withThrowingTaskGroup(of: Int.self) { group in
                for delay in [30, 10, 20] {
                    group.addTask {
                        try await Task.sleep(for: .milliseconds(delay))
                        return delay
                    }
                }
                for try await delay in group { order.append(delay) }
            }
            print("order: \(order)")
        }
    }
}
