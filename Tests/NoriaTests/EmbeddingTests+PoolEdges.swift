// SPDX-License-Identifier: Apache-2.0
import NoriaSystem
import TestSupport
import Testing

@testable import Noria

/// What a pool does where its threads and its end meet.
extension EmbeddingTests {
    @Test("a thread that is one too many, roused for a job, hands it on", arguments: settings)
    func oneTooMany(setting: Setting) async throws {
        let configuration = setting.configuration.with {
            $0.blocking.threadLimit = 2
            $0.blocking.maximumThreadLimit = 2
        }
        try await withRuntime(configuration) { runtime in
            let pool = runtime.blocking
            // Two threads, both idle afterwards.
            let both = Gate(count: 2)
            try await withThrowingTaskGroup { group in
                for _ in 0..<2 {
                    group.addTask {
                        try await pool.run {
                            both.pass()
                            try both.wait(for: "the other")
                        }
                    }
                }
                try await group.waitForAll()
            }
            while pool.state.withLock({ $0.idle.count }) < 2 { await Task.yield() }
            // The last one to come is roused first, and finds that it is one too many.
            pool.state.withLock { _ = $0.limit.threadRefused(1, "test") }
            let answer = try await withTimeout(.seconds(10)) { try await pool.run { 7 } }
            #expect(answer == 7)
            #expect(pool.snapshot().threadCount == 1)
        }
    }

    @Test("idle threads leave, and the next job brings one again", arguments: settings)
    func idleThreadsLeave(setting: Setting) async throws {
        let configuration = setting.configuration.with {
            $0.blocking.idleTimeout = .milliseconds(1)
        }
        try await withRuntime(configuration) { runtime in
            let pool = runtime.blocking
            for number in 0..<20 {
                #expect(try await pool.run { number } == number)
                // Now and then the rouse meets the leaving.
                if number % 3 == 0 {
                    while pool.snapshot().threadCount > 0 { await Task.yield() }
                } else {
                    try await Task.sleep(for: .milliseconds(1))
                }
            }
        }
    }

    @Test("a close that finds a queue waits for it; who comes later is told", arguments: settings)
    func closing(setting: Setting) async throws {
        let configuration = setting.configuration.with {
            $0.blocking.threadLimit = 1
            $0.blocking.maximumThreadLimit = 1
            $0.blocking.queueLimit = 1
        }
        try await withRuntime(configuration) { runtime in
            let pool = runtime.makeThreadPool(name: "closing", configuration.blocking)
            let (entered, leave) = (Gate(), Gate())
            let done = Locked<[Int]>([])
            let first = Task {
                try await pool.run {
                    entered.pass()
                    try leave.wait(for: "the close")
                }
            }
            while pool.snapshot().activeCount == 0 { await Task.yield() }
            let queued = Task { try await pool.run { done.withLock { $0.append(1) } } }
            while pool.snapshot().queueDepth == 0 { await Task.yield() }
            let heldBack = Task { try await pool.run { done.withLock { $0.append(2) } } }
            while pool.snapshot().heldBackCount == 0 { await Task.yield() }
            let close = Task { await pool.close() }
            while !pool.state.withLock({ $0.isClosed }) { await Task.yield() }
            let late = await #expect(throws: ThreadPoolError.self) { try await pool.run {} }
            #expect(late?.kind == .closed)
            let told = await #expect(throws: ThreadPoolError.self) { try await heldBack.value }
            #expect(told?.kind == .closed)
            leave.pass()
            try await first.value
            try await queued.value
            await close.value
            #expect(done.withLock { $0 } == [1])
            #expect(pool.snapshot().threadCount == 0)
            // The task of a pool that has closed goes on at a loop.
            let place = await Task(executorPreference: pool.taskExecutor) {
                EventLoop.current?.index
            }.value
            #expect(place == 0)
        }
    }
}
