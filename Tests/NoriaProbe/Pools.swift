// SPDX-License-Identifier: Apache-2.0
import Dispatch
import Glibc
import Noria

/// Pools of a runtime that has taken its process over.
enum Pools {
    /// Where tasks are before, in and after a job; and that a run leaves no thread behind.
    static func run() {
        do {
            for _ in 0..<3 {
                let outcome = try Runtime.run(NoriaProbe.configuration) { runtime in
                    let inside = try await runtime.blocking.run { NoriaProbe.place() }
                    print("\(inside), then \(NoriaProbe.place())")
                    let onMain = try await Task { @MainActor in
                        let inside = try await runtime.blocking.run { NoriaProbe.place() }
                        MainActor.assertIsolated()
                        return "\(inside), then \(NoriaProbe.place())"
                    }.value
                    print("main actor: \(onMain)")
                    // A plain task's job that has not ended when the body returns is waited for.
                    let late = Task { [runtime] in
                        try await runtime.blocking.run(name: "late") { _ = usleep(50_000) }
                        return "done"
                    }
                    while runtime.snapshot().blocking.activeCount == 0 { await Task.yield() }
                    return late
                }
                print("threads: \(NoriaProbe.threadCount) \(outcome.report.exitCode.rawValue)")
            }
        } catch { print("failed: \(error)") }
    }

    /// The loop is blocked all the time: the pool grows all the same.
    static func blockedLoop() {
        let configuration = NoriaProbe.configuration.with {
            $0.blocking.threadLimit = 2
            $0.blocking.maximumThreadLimit = 8
        }
        Runtime.main(configuration) { runtime in
            let tasks = (0..<40).map { _ in
                Task { try await runtime.blocking.run { _ = usleep(200_000) } }
            }
            while runtime.snapshot().blocking.activeCount < 2 { await Task.yield() }
            let end = ContinuousClock.now + .seconds(5)
            while runtime.snapshot().blocking.threadLimit < 4, ContinuousClock.now < end {
                usleep(1_000)
            }
            print("grew: \(runtime.snapshot().blocking.threadLimit >= 4)")
            for task in tasks { try await task.value }
            print("all done")
        }
    }

    /// Another user, who may have few threads.
    static func refused() {
        let configuration = NoriaProbe.configuration.with {
            $0.blocking.threadLimit = 16
            $0.blocking.maximumThreadLimit = 16
        }
        Runtime.main(configuration) { runtime in
            var limit = rlimit(rlim_cur: 6, rlim_max: 6)
            guard setrlimit(__rlimit_resource_t(__RLIMIT_NPROC.rawValue), &limit) == 0,
                setuid(61_234) == 0
            else {
                print("skipped: only root can become another user")
                return
            }
            let done = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<100 {
                    group.addTask {
                        try await runtime.blocking.run {
                            usleep(10_000)
                            return 1
                        }
                    }
                }
                return try await group.reduce(0, +)
            }
            let pool = runtime.snapshot().blocking
            print("done: \(done), fewer threads: \(pool.threadCount < 16 && pool.threadLimit < 16)")
        }
    }

    /// Two jobs wait for others of their own pool, which has no thread for them; in another pool
    /// they sleep as long, and do not wait for those that they began.
    static func standstill() {
        let configuration = NoriaProbe.configuration.with {
            $0.blocking.threadLimit = 2
            $0.blocking.maximumThreadLimit = 2
        }
        Runtime.main(configuration) { runtime in
            try await withThrowingDiscardingTaskGroup { group in
                for _ in 0..<2 {
                    group.addTask {
                        try await runtime.blocking.run(name: "outer") {
                            let inner = DispatchSemaphore(value: 0)
                            Task {
                                defer { inner.signal() }
                                do {
                                    let number = try await runtime.blocking.run(name: "inner") { 1 }
                                    print("inner: \(number)")
                                } catch { print("\(error)") }
                            }
                            inner.wait()
                        }
                    }
                }
                let slow = runtime.makeThreadPool(name: "slow", configuration.blocking)
                for _ in 0..<2 {
                    group.addTask {
                        try await slow.run(name: "outer") {
                            Task { print("slow: \(try await slow.run { 2 })") }
                            sleep(12)
                        }
                    }
                }
            }
        }
    }

    /// A job that nothing ends: the deadline does.
    static func stuck() {
        let configuration = NoriaProbe.configuration.with { $0.shutdown.deadline = .seconds(1) }
        Runtime.main(configuration) { runtime in
            print("begun")
            fflush(nil)
            try await runtime.blocking.run(name: "stuck") { while true { sleep(60) } }
        }
    }
}
