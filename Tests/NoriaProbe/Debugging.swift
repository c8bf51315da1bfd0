// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria
import NoriaSystem
import Synchronization

/// What the debug mode says of a program that does what it should not.
enum Debugging {
    static func run() {
        Runtime.main(
            NoriaProbe.configuration.with {
                $0.diagnostics.debug = .on
                $0.shutdown.deadline = .seconds(5)
            }
        ) { runtime in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            try await dropConnection(to: listener.localAddress)
            makeSlowTask()
            makeStubbornTask().cancel()
            try await runtime.shutdown.requested()
            for task in runtime.tasks() where task.name == "stubborn" {
                print("origin: \(task.origin ?? "none")")
                for call in task.stack { print("call: \(call)") }
            }
            fflush(nil)
        }
    }

    /// A plain task that keeps its loop, in production.
    static func blocker() {
        Runtime.main(
            NoriaProbe.configuration.with {
                $0.diagnostics.stallReportThreshold = .milliseconds(200)
                $0.diagnostics.onStall = { _ in reported.store(true, ordering: .relaxed) }
            }
        ) { _ in
            await Task(name: "blocker") {
                // Until it is seen: what waits for a processor is no stall, however long it waits.
                let end = MonotonicClock.now + 20_000_000_000
                while !reported.load(ordering: .relaxed), MonotonicClock.now < end {}
            }.value
        }
    }

    private static let reported = Atomic<Bool>(false)

    /// 1,000,000 tasks that end at once.
    static func manyTasks() {
        Runtime.main(
            NoriaProbe.configuration.with {
                $0.diagnostics.debug = .on
                // A report of one would load the names of the program's functions: 20 MiB.
                $0.diagnostics.slowJobThreshold = .seconds(3600)
            }
        ) { _ in
            _ = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            await makeTasks(100_000)
            let before = Restored.residentByteCount
            await makeTasks(1_000_000)
            let growth = Restored.residentByteCount - before
            print("bounded: \(growth < 2 << 20)")
            if growth >= 2 << 20 { print("  grown by \(growth) bytes") }
            fflush(nil)
        }
    }

    private static func makeTasks(_ count: Int) async {
        for _ in 0..<count / 100 {
            var tasks: [Task<Void, Never>] = []
            for _ in 0..<100 { tasks.append(Task {}) }
            for task in tasks { await task.value }
        }
    }

    /// Asks for what is the loop's on a thread that is not.
    static func onWrongThread() {
        Runtime.main(NoriaProbe.configuration.with { $0.diagnostics.debug = .on }) { runtime in
            let loop = runtime.eventLoops.main
            print("on the loop: \(loop.jobCount > 0)")
            fflush(nil)
            _ = try await runtime.blocking.run { loop.jobCount }
        }
    }

    /// Lets go of a connection without a close.
    static func dropConnection(to address: SocketAddress) async throws {
        let port = Int("\(address)".split(separator: ":").last ?? "") ?? 0
        let connection = try await TCPConnection.connect(host: "127.0.0.1", port: port)
        print("dropped: \(connection)")
    }

    @inline(never) static func makeSlowTask() {
        Task(name: "slow") { _ = computeOnPurpose() }
    }

    /// 150 ms of this thread's time, whoever else has the processor.
    @inline(never) static func computeOnPurpose() -> UInt64 {
        let end = MonotonicClock.now + 150_000_000
        while MonotonicClock.now < end {}
        return end
    }

    @inline(never) static func makeStubbornTask() -> Task<Void, Never> {
        Task(name: "stubborn") { await swallowCancellation() }
    }

    @inline(never) static func swallowCancellation() async {
        while true {
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
                Keep.kept.withLock { $0 = continuation }
            }
        }
    }

    private enum Keep {
        static let kept = Guarded<UnsafeContinuation<Void, Never>?>(nil)
    }
}
