// SPDX-License-Identifier: Apache-2.0
import Dispatch
import Glibc
import Noria
import Synchronization

/// The numbers of a loop, read from its own tasks and by another thread while it is blocked.
enum SnapshotProbe {
    static func run() {
        do {
            let outcome = try Runtime.run(NoriaProbe.configuration) { runtime in
                let loop = runtime.eventLoops.main
                let begin = loop.snapshot()
                print("index: \(begin.index) connections: \(begin.connectionsOpen)")
                try await connections(loop)
                try await jobs(runtime)
                await timers(runtime)
                blocked(runtime)
                for check in runtime.productionCheck() { print("check: \(check.name)") }
            }
            print("ended: \(try outcome.value)")
            _ = try Runtime.run(NoriaProbe.configuration) { runtime in
                print("from the begin: \(runtime.eventLoops.main.snapshot().turns < 5)")
            }
        } catch { print("failed: \(error)") }
    }

    private static func connections(_ loop: EventLoop) async throws {
        let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
        let serving = Task {
            try await listener.serve { connection in
                try await connection.outbound.write(contentsOf: connection.inbound)
            }
        }
        let before = loop.snapshot()
        let port = listener.localAddress.port ?? 0
        try await withTCPConnection(host: "127.0.0.1", port: port) { client in
            for _ in 0..<100 {
                try await client.outbound.write([1])
                _ = try await client.inbound.read(exactly: 1)
            }
            let after = loop.snapshot()
            print("both ends open: \(after.connectionsOpen)")
            print("turns go on: \(after.turns > before.turns)")
            print("completions: \(after.completions > before.completions)")
            print("high water: \(after.completionQueue.highWater > 0)")
        }
        listener.stopAccepting()
        try await serving.value
        while loop.snapshot().connectionsOpen > 0 { await Task.yield() }
        print("all closed")
    }

    /// What the loop wrote down when it last slept: all that ran before this call.
    private static func settled(_ runtime: Runtime) async throws -> EventLoopSnapshot {
        try await runtime.clock.sleep(for: .milliseconds(1))
        return runtime.eventLoops.main.snapshot()
    }

    private static func jobs(_ runtime: Runtime) async throws {
        let before = try await settled(runtime)
        for _ in 0..<1000 { await Task.detached {}.value }
        let local = try await settled(runtime)
        // Each is a job and its end another; the sleep and its like are the rest.
        let localCount = local.jobsLocal - before.jobsLocal
        print("local: \(localCount >= 2000 && localCount <= 2010)")
        print("none remote: \(local.jobsRemote == before.jobsRemote)")
        DispatchQueue.global().async {
            for _ in 0..<1000 { Task.detached { ranCount.wrappingAdd(1, ordering: .relaxed) } }
        }
        while ranCount.load(ordering: .relaxed) < 1000 {
            try await runtime.clock.sleep(for: .milliseconds(1))
        }
        let remote = try await settled(runtime)
        print("remote: \(remote.jobsRemote - local.jobsRemote)")
        let wakeups = remote.wakeups - local.wakeups
        print("at most a wakeup each: \(wakeups <= 1000)")
        print("depth: \(remote.queueDepth)")
        print("woken: \(try await isWoken(runtime))")
    }

    /// Whether a resume from another thread wakes a loop that sleeps: on a busy machine it may have
    /// been kept from sleeping, so it is tried again.
    private static func isWoken(_ runtime: Runtime) async throws -> Bool {
        let before = try await settled(runtime).wakeups
        for _ in 0..<500 {
            await withUnsafeContinuation { continuation in
                DispatchQueue.global().async {
                    usleep(1000)
                    continuation.resume()
                }
            }
            if try await settled(runtime).wakeups > before { return true }
        }
        return false
    }

    private static let ranCount = Atomic<Int>(0)

    private static func timers(_ runtime: Runtime) async {
        let loop = runtime.eventLoops.main
        let tasks = (0..<50).map { _ in
            Task { try? await runtime.clock.sleep(for: .seconds(3600)) }
        }
        while loop.snapshot().timersPending < 50 { await Task.yield() }
        print("timers: \(loop.snapshot().timersPending)")
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
    }

    /// The loop stands still, in this very call, and another thread reads all the same.
    private static func blocked(_ runtime: Runtime) {
        let semaphore = DispatchSemaphore(value: 0)
        DispatchQueue.global().async {
            let snapshot = runtime.snapshot()
            print("from outside: \(snapshot.eventLoops.count) \(snapshot.phase)")
            print("backend: \(snapshot.backend.kind == runtime.backend.kind)")
            semaphore.signal()
        }
        semaphore.wait()
    }
}
