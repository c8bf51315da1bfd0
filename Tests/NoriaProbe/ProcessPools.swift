// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// What a pool of real worker processes does, one fact a line.
enum ProcessPools {
    static func configuration(
        _ change: (inout ProcessPool.Configuration) -> Void = { $0.workerCount = 2 }
    ) -> RuntimeConfiguration {
        NoriaProbe.configuration.with { change(&$0.processes) }
    }

    static func plain() {
        print("before the runtime")
        fflush(nil)
        Runtime.main(configuration()) { runtime in
            print("snapshot before: \(runtime.snapshot().processes == nil)")
            let pool = runtime.processes
            let answer = try await pool.run(EchoCall(text: "hello"))
            print("text: \(answer[0]), another process: \(answer[1] != "\(getpid())")")
            print("box: \(try await pool.run(BoxCall(value: [1.5, .infinity])))")
            print("nested: \(try await pool.run(BoxCall(value: BoxCall(value: 7))).value)")
            print("hidden: \(await hidden(pool))")
            for fate in [FateCall.Fate.trap, .kill, .throwing, .talk] {
                print("\(fate): \(await PoolCalls.outcome(FateCall(fate: fate), pool))")
                _ = try await pool.run(EchoCall(text: "between"))
            }
            print("trap said: \(await said(.trap, "trapped on purpose", pool))")
            _ = try await pool.run(EchoCall(text: "between"))
            print("talk said: \(await said(.talk, "said on standard output", pool))")
            _ = try await pool.run(EchoCall(text: "between"))
            print("exit: \(await PoolCalls.outcome(FateCall(fate: .exit, number: 3), pool))")
            let snapshot = pool.snapshot()
            print("round trips: \(snapshot.roundTrip.count)")
            print("calls: \(snapshot.calls), failures: \(snapshot.failures)")
            print("deaths: \(snapshot.deaths), replacements: \(snapshot.replacements)")
        }
    }

    /// Whether the end of what a worker said is in the error.
    private static func said(
        _ fate: FateCall.Fate,
        _ text: String,
        _ pool: ProcessPool
    ) async -> Bool {
        do { _ = try await pool.run(FateCall(fate: fate)) } catch let error as ProcessPoolError {
            // It fits beside a stack of 2 KiB, and stands in the description, too.
            return error.standardErrorTail.contains(text) && "\(error)".contains("it said: ")
        } catch {}
        return false
    }

    private static func hidden(_ pool: ProcessPool) async -> String {
        do {
            try await PoolCalls.hidden(pool)
            return "ran"
        } catch { return "\(error)" }
    }

    /// What ends a call early, and what becomes of its worker.
    static func ends() {
        let configuration = configuration {
            $0.workerCount = 1
            $0.queueLimit = 2
            $0.frameByteCountLimit = 4096
        }
        Runtime.main(configuration) { runtime in
            let pool = runtime.processes
            let large = BoxCall(value: String(repeating: "x", count: 5000))
            print("large call: \(await PoolCalls.outcome(large, pool))")
            print("large result: \(await fate(.large, 5000, pool))")
            let first = try await worker(pool)
            print("timed out: \(await fate(.spin, 0, pool, timeout: .milliseconds(50)))")
            print("another worker: \(try await worker(pool) != first)")
            let running = Task { await fate(.sleep, 300, pool) }
            try await until { pool.snapshot().busyCount == 1 }
            print("timed out in the queue: \(await fate(.sleep, 1, pool, timeout: .zero))")
            let queued = Task { await fate(.sleep, 1, pool) }
            let behind = Task { await fate(.sleep, 1, pool) }
            try await until { pool.snapshot().queueDepth == 2 }
            print("one more: \(await fate(.sleep, 1, pool))")
            queued.cancel()
            print("cancelled in the queue: \(await queued.value)")
            print("still running: \(pool.snapshot().busyCount == 1)")
            print("running: \(await running.value), behind: \(await behind.value)")
            print("scribble: \(await fate(.scribble, 0, pool))")
            print("after it: \(await fate(.sleep, 1, pool))")
        }
    }

    /// What a cancelled call does to its worker, by the configuration.
    static func cancelling() {
        for (name, choice) in [
            ("let finish", ProcessPool.Cancellation.letFinish), ("kill", .killWorker),
        ] {
            let configuration = configuration {
                $0.workerCount = 1
                $0.whenCancelled = choice
            }
            _ = try? Runtime.run(configuration) { runtime in
                let pool = runtime.processes
                let before = try await worker(pool)
                let running = Task { await fate(.sleep, 200, pool) }
                try await until { pool.snapshot().busyCount == 1 }
                running.cancel()
                print("\(name): \(await running.value)")
                print("\(name): same worker: \(try await worker(pool) == before)")
                print("\(name): deaths: \(pool.snapshot().deaths)")
            }
        }
    }

    /// Workers that die one after the other, and a pool that says so.
    static func resting() {
        Runtime.main(configuration { $0.workerCount = 1 }) { runtime in
            let pool = runtime.processes
            for _ in 0..<3 { print("trap: \(await fate(.trap, 0, pool))") }
            print("resting: \(pool.snapshot().isResting)")
            print("refused: \(await PoolCalls.outcome(EchoCall(text: "x"), pool))")
            try await until { pool.snapshot().workerCount == 1 }
            print("after the rest: \(try await pool.run(EchoCall(text: "back"))[0])")
            print("resting: \(pool.snapshot().isResting)")
        }
    }

    static func exhausted() {
        let configuration = configuration {
            $0.workerCount = 1
            $0.memoryByteCountLimit = 256 << 20
        }
        Runtime.main(configuration) { runtime in
            let pool = runtime.processes
            print("before: \(try await pool.run(EchoCall(text: "small"))[0])")
            print("greedy: \(await fate(.greedy, 0, pool))")
            print("trap: \(await fate(.trap, 0, pool))")
            print("after: \(try await pool.run(EchoCall(text: "small"))[0])")
        }
    }

    /// Programs that are no workers: the sentence that a call throws.
    static func strangers() {
        for path in ["/no/such/worker", "/tmp", "/bin/true", "/usr/bin/yes"] {
            let configuration = configuration {
                $0.workerCount = 1
                $0.executable = FilePath(path)
                $0.helloTimeout = .milliseconds(300)
                $0.passesOnStandardError = false
            }
            let outcome = try? Runtime.run(configuration) { runtime in
                do {
                    _ = try await runtime.processes.run(EchoCall(text: "x"))
                    return "ran"
                } catch let error as ProcessPoolError {
                    return String("\(error.kind): \(error)".prefix { $0 != ";" })
                }
            }
            print((try? outcome?.value) ?? "threw")
        }
    }

    /// The whole sentence of each error that a call or a program of a wrong kind leads to.
    static func words() {
        let configuration = configuration {
            $0.workerCount = 1
            $0.queueLimit = 1
            $0.frameByteCountLimit = 4096
            $0.passesOnStandardError = false
        }
        let outcome = try? Runtime.run(configuration) { runtime in
            let pool = runtime.processes
            print(await sentence(FateCall(fate: .throwing), pool))
            print(await sentence(FateCall(fate: .large, number: 5000), pool))
            print(await sentence(BoxCall(value: String(repeating: "x", count: 5000)), pool))
            print(await sentence(FateCall(fate: .exit, number: 3), pool))
            print(await sentence(FateCall(fate: .kill), pool))
            let running = Task { await sentence(FateCall(fate: .sleep, number: 60_000), pool, 1) }
            try await until { pool.snapshot().busyCount == 1 }
            let queued = Task { await sentence(FateCall(fate: .sleep), pool, 2) }
            try await until { pool.snapshot().queueDepth == 1 }
            print(await sentence(FateCall(fate: .sleep), pool))
            print(await running.value)
            _ = await queued.value
            return pool
        }
        // Workers of a program that is one of ours, and does not have the call.
        let other = configuration.with {
            $0.processes.executable = FilePath(ownFolder).appending("EmbeddedProbe")
        }
        let outcome2 = try? Runtime.run(other) { runtime in
            print(await sentence(EchoCall(text: "x"), runtime.processes))
            print("deaths: \(runtime.processes.snapshot().deaths)")
            guard let ended = try outcome?.value else { return }
            print(await sentence(EchoCall(text: "x"), ended))
        }
        print("ended: \((try? outcome2?.value) != nil)")
    }

    private static func sentence<C: ProcessPool.Call>(
        _ call: C,
        _ pool: ProcessPool,
        _ seconds: Int? = nil
    ) async -> String {
        do {
            return "\(try await pool.run(call, timeout: seconds.map { .seconds($0) }))"
        } catch { return "\(error)" }
    }

    /// Where this program stands.
    private static var ownFolder: String {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        let bytes = buffer.prefix(max(0, count)).map(UInt8.init(bitPattern:))
        let path = String(decoding: bytes, as: UTF8.self)
        return String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
    }

    /// What is not for a worker: descriptors, and signals that reach a whole group.
    static func strays() {
        Runtime.main(configuration { $0.workerCount = 1 }) { runtime in
            let pool = runtime.processes
            let kept = open("/dev/zero", O_RDONLY)
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            print("open: \(await fate(.descriptors, 0, pool))")
            print("kept: \(kept >= 0), port: \(listener.localAddress.port != nil)")
            let id = Int32(try await worker(pool))
            let running = Task { await fate(.sleep, 100, pool) }
            try await until { pool.snapshot().busyCount == 1 }
            for signal in [SIGINT, SIGTERM, SIGINT] { kill(id, signal) }
            print("signalled: \(await running.value), deaths: \(pool.snapshot().deaths)")
            await listener.close()
        }
    }

    /// Workers that compute and workers that wait, for a test that ends their parent.
    static func orphans() {
        Runtime.main(configuration { $0.workerCount = 3 }) { runtime in
            let pool = runtime.processes
            var ids: Set<Int> = []
            // One that starts sooner than the others may take two of them.
            while ids.count < 3 {
                async let a = worker(pool, for: 100)
                async let b = worker(pool, for: 100)
                async let c = worker(pool, for: 100)
                ids.formUnion([try await a, try await b, try await c])
            }
            async let spinning = pool.run(FateCall(fate: .spin))
            try await until { pool.snapshot().busyCount == 1 }
            print("workers \(ids.sorted().map(String.init).joined(separator: " "))")
            fflush(nil)
            _ = try await spinning
        }
    }

    /// Calls in hand when a shutdown begins.
    static func drained() {
        Runtime.main(configuration()) { runtime in
            let pool = runtime.processes
            let calls = (1...4).map { number in
                Task { await fate(.sleep, 200 + number, pool) }
            }
            try await until { pool.snapshot().busyCount == 2 && pool.snapshot().queueDepth == 2 }
            print("busy")
            fflush(nil)
            try await runtime.shutdown.requested()
            for call in calls { print("\(await call.value)") }
            // The body goes on for a while, and has calls to make.
            print("one more: \(await fate(.sleep, 1, pool))")
        }
    }

    private static func fate(
        _ fate: FateCall.Fate,
        _ number: Int,
        _ pool: ProcessPool,
        timeout: Duration? = nil
    ) async -> String {
        await PoolCalls.outcome(FateCall(fate: fate, number: number), pool, timeout: timeout)
    }

    /// The process that runs a call, which takes some milliseconds.
    private static func worker(_ pool: ProcessPool, for milliseconds: Int = 0) async throws -> Int {
        try await pool.run(PlaceCall(milliseconds: milliseconds))
    }

    private static func until(_ condition: () -> Bool) async throws {
        try await withTimeout(.seconds(10)) {
            while !condition() { try await Task.sleep(for: .milliseconds(1)) }
        }
    }
}

/// Where a call runs.
struct PlaceCall: ProcessPool.Call {
    var milliseconds: Int

    func run() async throws -> Int {
        try await Task.sleep(for: .milliseconds(milliseconds))
        return Int(getpid())
    }
}
