// SPDX-License-Identifier: Apache-2.0
import Dispatch
import Noria

/// Tasks that run on a foreign executor and use streams of the loop all the same.
enum Elsewhere {
    /// A thread that is no loop's.
    final class ForeignExecutor: TaskExecutor {
        private let queue = DispatchQueue(label: "foreign")

        func enqueue(_ job: consuming ExecutorJob) {
            let job = UnownedJob(job)
            queue.async { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
        }
    }

    static func run() {
        let executor = ForeignExecutor()
        run(NoriaProbe.configuration) { _ in executor }
    }

    /// The same from another loop than the connections'.
    static func onOtherLoop() {
        run(NoriaProbe.configuration.with { $0.loops.count = 2 }) { $0.eventLoops[1].taskExecutor }
    }

    private static func run(
        _ configuration: RuntimeConfiguration,
        _ choose: @escaping @Sendable (Runtime) -> any TaskExecutor
    ) {
        do {
            let outcome = try Runtime.run(configuration) { runtime in
                let executor = choose(runtime)
                try await withTaskExecutorPreference(executor) { @concurrent in
                    try await Network.pairs(handlerExecutor: executor)
                    try await verbs(executor)
                    try await timeouts(executor)
                    print("place: \(NoriaProbe.place())")
                }
            }
            print("ended: \(try outcome.value)")
        } catch { print("failed: \(error)") }
    }

    private static func verbs(_ executor: any TaskExecutor) async throws {
        let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
        print("listener's loop: \(listener.localAddress.port != 0)")
        let serving = Task(executorPreference: executor) {
            try await listener.serve { connection in
                try await withTaskExecutorPreference(executor) { @concurrent in
                    connection.setIdle(true)
                    print("draining: \(connection.isDraining)")
                    try await connection.outbound.write("begun\n")
                    // The drain ends a wait although a byte has come.
                    while (try await connection.inbound.next()) != nil {}
                    print("draining: \(connection.isDraining) at \(NoriaProbe.place())")
                    try await connection.outbound.write("end")
                }
            }
        }
        let client = try await TCPConnection.connect(
            host: "127.0.0.1",
            port: listener.localAddress.port ?? 0
        )
        _ = try await client.inbound.readLine()
        try await client.outbound.write([1])
        try await client.outbound.flush()
        print("unsent: \(client.outbound.unsentByteCount)")
        await listener.drain(until: .now + .seconds(5))
        let rest = try await client.inbound.readAll(limit: 10)
        print("rest: \(String(decoding: rest, as: UTF8.self))")
        await client.close()
        await client.close()
        try await serving.value
    }

    private static func timeouts(_ executor: any TaskExecutor) async throws {
        print("in time: \(try await withTimeout(.seconds(60)) { 42 })")
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
        let outer = Task(executorPreference: executor) {
            try await withTimeout(.seconds(60)) { try await Task.sleep(for: .seconds(60)) }
        }
        outer.cancel()
        do { try await outer.value } catch { print("cancelled from outside: \(error)") }
    }
}
