// SPDX-License-Identifier: Apache-2.0
import Noria
import NoriaEngine
import NoriaSystem
import TestSupport
import Testing

/// The pools of an embedded runtime: they are the same as those of `Runtime.run`.
extension EmbeddingTests {
    private static func isOnLoop() -> Bool { EventLoop.current != nil }

    @TaskLocal private static var mark = "none"

    private struct Failure: Error, Equatable { let number: Int }

    @Test("a job runs off the loops, as its caller's task, who comes back", arguments: settings)
    func there(setting: Setting) async throws {
        try await withRuntime(setting.configuration) { runtime in
            for pool in [runtime.blocking, runtime.compute] {
                let seen = try await Self.$mark.withValue("carried") {
                    try await pool.run { () -> (Int32, Bool, String) in
                        (Thread.id, Self.isOnLoop(), Self.mark)
                    }
                }
                #expect(seen.0 != Thread.id)
                #expect(!seen.1)
                #expect(seen.2 == "carried")
                #expect(EventLoop.current?.index == 0)
            }
            await #expect(throws: Failure(number: 7)) {
                try await runtime.blocking.run { throw Failure(number: 7) }
            }
            #expect(EventLoop.current?.index == 0)
            try await Self.settle(runtime.blocking, completed: 2)
            try await Self.settle(runtime.compute, completed: 1)
            let snapshot = runtime.snapshot()
            // A second one, where the first had not come to its rest yet.
            #expect((1...2).contains(snapshot.blocking.threadCount))
            #expect(snapshot.blocking.wait.count == 2)
        }
    }

    private actor Holder {
        var places: [Bool] = []
        func use(_ pool: ThreadPool) async throws {
            assertIsolated()
            let isOnLoop = try await pool.run { EmbeddingTests.isOnLoop() }
            assertIsolated()
            places.append(isOnLoop)
        }
    }

    private final class Document { var lines: [String] = [] }

    @Test("an actor comes back to itself; what is not Sendable comes along", arguments: settings)
    func isolation(setting: Setting) async throws {
        try await withRuntime(setting.configuration) { runtime in
            let holder = Holder()
            for _ in 0..<10 { try await holder.use(runtime.blocking) }
            #expect(await holder.places == [Bool](repeating: false, count: 10))
            let document = try await runtime.blocking.run {
                let document = Document()
                document.lines.append("read")
                return document
            }
            #expect(document.lines == ["read"])
        }
    }

    @Test("a runtime that has ended leaves no pool behind", arguments: settings)
    func freed(setting: Setting) async throws {
        weak var pool: ThreadPool?
        weak var other: ThreadPool?
        weak var lane: ThreadPool.Lane?
        try await withRuntime(setting.configuration) { runtime in
            pool = runtime.blocking
            let named = runtime.makeThreadPool(name: "named")
            other = named
            let actor = OnLane(named.makeLane(name: "lane"))
            lane = actor.lane
            #expect(try await actor.step(runtime))
            _ = try await named.run(timeout: .seconds(60)) { 1 }
            #expect(pool != nil && other != nil && lane != nil)
        }
        #expect(pool == nil)
        #expect(other == nil)
        #expect(lane == nil)
    }

    @Test("jobs are spread over threads up to the limit; the queue is bounded", arguments: settings)
    func bounded(setting: Setting) async throws {
        let configuration = setting.configuration.with {
            $0.blocking.threadLimit = 3
            $0.blocking.maximumThreadLimit = 3
            $0.blocking.queueLimit = 2
            $0.blocking.whenFull = .refuse
        }
        try await withRuntime(configuration) { runtime in
            let (entered, leave) = (Gate(count: 3), Gate())
            try await withThrowingTaskGroup { group in
                for _ in 0..<3 {
                    group.addTask {
                        try await runtime.blocking.run {
                            entered.pass()
                            try leave.wait(for: "the test")
                        }
                    }
                }
                try await Self.away { try entered.wait(for: "three threads") }
                for _ in 0..<2 { group.addTask { try await runtime.blocking.run {} } }
                try await Self.away {
                    try Waiting.until("two in the queue") {
                        runtime.blocking.snapshot().queueDepth == 2
                    }
                }
                let error = await #expect(throws: ThreadPoolError.self) {
                    try await runtime.blocking.run(name: "one more") {}
                }
                #expect(error?.kind == .full)
                #expect(error?.job == "one more")
                leave.pass()
                try await group.waitForAll()
            }
            try await Self.settle(runtime.blocking, completed: 5)
            let snapshot = runtime.blocking.snapshot()
            #expect(snapshot.threadCount == 3)
            #expect(snapshot.refused == 1)
            #expect(snapshot.queueDepth == 0)
        }
    }

    @Test(
        "who finds the queue full waits, may be cancelled, and nobody is lost",
        arguments: settings
    )
    func suspended(setting: Setting) async throws {
        let configuration = setting.configuration.with {
            $0.blocking.threadLimit = 1
            $0.blocking.maximumThreadLimit = 1
            $0.blocking.queueLimit = 1
        }
        try await withRuntime(configuration) { runtime in
            let (entered, leave) = (Gate(), Gate())
            let order = Locked<[Int]>([])
            let first = Task {
                try await runtime.blocking.run {
                    entered.pass()
                    try leave.wait(for: "the test")
                }
            }
            try await Self.away { try entered.wait(for: "the thread") }
            func call(_ number: Int) -> Task<Void, any Error> {
                Task { try await runtime.blocking.run { order.withLock { $0.append(number) } } }
            }
            var calls: [Task<Void, any Error>] = []
            for number in 0..<20 {
                calls.append(call(number))
                try await Self.away {
                    try Waiting.until("call \(number)") {
                        let now = runtime.blocking.snapshot()
                        return now.queueDepth + now.heldBackCount == number + 1
                    }
                }
            }
            #expect(runtime.blocking.snapshot().queueDepth == 1)
            // One in the queue, one before it; what is cancelled leaves at once.
            for number in [0, 10] {
                calls[number].cancel()
                await #expect(throws: CancellationError.self) { try await calls[number].value }
            }
            leave.pass()
            try await first.value
            for (number, call) in calls.enumerated() where number % 10 != 0 {
                try await call.value
            }
            // Those who were let in may overtake each other on their way to the queue.
            #expect(order.withLock { $0.sorted() } == (1..<20).filter { $0 != 10 })
            #expect(runtime.blocking.snapshot().cancelled == 1)
        }
    }

    @Test("a running job sees that its task was cancelled, and is waited for", arguments: settings)
    func cancelled(running setting: Setting) async throws {
        try await withRuntime(setting.configuration) { runtime in
            let entered = Gate()
            let task = Task {
                try await runtime.blocking.run {
                    entered.pass()
                    try Waiting.until("the cancellation") { Task.isCancelled }
                    return "seen"
                }
            }
            try await Self.away { try entered.wait(for: "the job") }
            task.cancel()
            #expect(try await task.value == "seen")
            let before = Task {
                while !Task.isCancelled { await Task.yield() }
                try await runtime.blocking.run { _ = Issue.record("it was run") }
            }
            before.cancel()
            await #expect(throws: CancellationError.self) { try await before.value }
        }
    }

    @Test(
        "a time-out counts the time in the queue, and leaves a running job behind",
        arguments: settings
    )
    func timedOut(setting: Setting) async throws {
        let configuration = setting.configuration.with {
            $0.blocking.threadLimit = 1
            $0.blocking.maximumThreadLimit = 1
        }
        try await withRuntime(configuration) { runtime in
            let (leave, wasCancelled) = (Gate(), Locked(false))
            let running = await #expect(throws: ThreadPoolError.self) {
                try await runtime.blocking.run(name: "stuck", timeout: .milliseconds(20)) {
                    try leave.wait(for: "the test")
                    wasCancelled.withLock { $0 = Task.isCancelled }
                }
            }
            #expect(running?.kind == .timedOut)
            #expect(running?.description == "stuck (pool blocking): not done after 0.02 seconds")
            let queued = await #expect(throws: ThreadPoolError.self) {
                try await runtime.blocking.run(name: "behind it", timeout: .milliseconds(20)) {
                    Issue.record("it was run")
                }
            }
            #expect(queued?.kind == .timedOut)
            #expect(runtime.blocking.snapshot().abandoned == 1)
            leave.pass()
            let text = try await runtime.blocking.run(timeout: .seconds(60)) { "in time" }
            #expect(text == "in time")
            #expect(wasCancelled.withLock { $0 })
            await #expect(throws: Failure(number: 1)) {
                try await runtime.blocking.run(timeout: .seconds(60)) { throw Failure(number: 1) }
            }
        }
    }

    private actor OnLane {
        let lane: ThreadPool.Lane
        nonisolated var unownedExecutor: UnownedSerialExecutor { lane.unownedExecutor }
        var count = 0
        init(_ lane: ThreadPool.Lane) { self.lane = lane }

        func step(_ runtime: Runtime) async throws -> Bool {
            assertIsolated()
            let before = count
            count += 1
            // Somebody else may come in here.
            try await Task.sleep(for: .microseconds(10))
            assertIsolated()
            _ = try await runtime.blocking.run { before }
            return EventLoop.current == nil
        }
    }

    @Test("an actor's methods run on its lane, one at a time, off the loops", arguments: settings)
    func lanes(setting: Setting) async throws {
        try await withRuntime(setting.configuration) { runtime in
            let actors = (0..<4).map { OnLane(runtime.blocking.makeLane(name: "lane \($0)")) }
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for index in 0..<200 {
                    group.addTask { try await actors[index % 4].step(runtime) }
                }
                for try await isOff in group { #expect(isOff) }
            }
            for one in actors { #expect(await one.count == 50) }
        }
    }

    @Test("a whole task may live on a pool", arguments: settings)
    func preference(setting: Setting) async throws {
        try await withRuntime(setting.configuration) { runtime in
            let pool = runtime.makeThreadPool(name: "reports")
            let seen = await Task(executorPreference: pool.taskExecutor) { () -> [Bool] in
                var seen = [Self.isOnLoop()]
                for _ in 0..<10 {
                    await Task.yield()
                    seen.append(Self.isOnLoop())
                }
                return seen
            }.value
            #expect(seen == [Bool](repeating: false, count: 11))
            try await Self.away {
                try Waiting.until("the task's jobs") { pool.snapshot().completed >= 11 }
            }
            #expect(runtime.blocking.snapshot().completed == 0)
        }
    }

    @Test(
        "10,000 jobs, some cancelled, some that throw: each is answered once",
        arguments: settings
    )
    func many(setting: Setting) async throws {
        try await withRuntime(setting.configuration) { runtime in
            let runCount = Locked(0)
            var (values, failures, cancellations) = (0, 0, 0)
            for _ in 0..<20 {
                await withTaskGroup(of: Result<Int, any Error>.self) { group in
                    for index in 0..<500 {
                        group.addTask {
                            do {
                                return .success(
                                    try await runtime.blocking.run {
                                        runCount.withLock { $0 += 1 }
                                        if index % 7 == 0 { throw Failure(number: index) }
                                        return index
                                    }
                                )
                            } catch { return .failure(error) }
                        }
                    }
                    var seen = 0
                    for await result in group {
                        seen += 1
                        if seen == 250 { group.cancelAll() }
                        switch result {
                        case .success: values += 1
                        case .failure(is Failure): failures += 1
                        case .failure(is CancellationError): cancellations += 1
                        case .failure(let error): Issue.record(error)
                        }
                    }
                }
            }
            #expect(values + failures + cancellations == 10_000)
            #expect(runCount.withLock { $0 } == values + failures)
            try await Self.settle(runtime.blocking, completed: values + failures)
            #expect(runtime.blocking.snapshot().queueDepth == 0)
        }
    }

    /// A job is counted when its thread comes back from it, which may be after its caller.
    private static func settle(_ pool: ThreadPool, completed: Int) async throws {
        try await away {
            try Waiting.until("\(completed) jobs") {
                let now = pool.snapshot()
                return now.completed == UInt64(completed) && now.activeCount == 0
            } seen: {
                "\(pool.snapshot())"
            }
        }
    }

    /// Blocks a plain thread, and neither a loop nor the pool that tests run on.
    ///
    /// It begins when the caller has suspended: the thread sanitizer does not see how the runtime
    /// hands over the result of a continuation that is resumed before.
    private static func away(_ body: @escaping @Sendable () throws -> Void) async throws {
        let result: Result<Void, any Error> = await withUnsafeContinuation { continuation in
            let suspended = Gate()
            do {
                try Thread.start {
                    continuation.resume(
                        returning: Result {
                            try suspended.wait(for: "the caller")
                            try body()
                        }
                    )
                }
                Task(executorPreference: EventLoop.current?.taskExecutor) { suspended.pass() }
            } catch { continuation.resume(returning: .failure(error)) }
        }
        try result.get()
    }
}
