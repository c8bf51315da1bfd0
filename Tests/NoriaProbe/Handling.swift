// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria
import NoriaSystem
import Synchronization

/// What a handler of uncaught errors sees, and what becomes of its own mistakes.
enum Handling {
    private struct Mistake: Error, CustomStringConvertible {
        let description: String
        init(_ description: String) { self.description = description }
    }

    @TaskLocal private static var request = "none"

    /// Each kind of thrower, with what the handler is told of it.
    static func kinds() {
        let configuration = NoriaProbe.configuration.with {
            $0.diagnostics.uncaughtErrors = UncaughtErrorHandler { error in
                // A connection's text holds a port that nobody knows beforehand.
                let connection = error.connection.map { $0.contains("127.0.0.1") } ?? false
                let place = error.eventLoop.map { "\($0)" } ?? "no loop"
                print(
                    "\(error.error): task \(error.task ?? "-") numbered \(error.taskID != nil)"
                        + " \(place) connection \(connection) request \(request)"
                )
            }
        }
        do {
            let outcome = try Runtime.run(configuration) { runtime in
                await $request.withValue("r1") {
                    Task(name: "plain") { throw Mistake("plain") }
                    Task.detached { throw Mistake("detached") }
                    Task { @MainActor in throw Mistake("on main") }
                    await runtime.spawn(name: "once") { throw Mistake("spawned") }.finished()
                    let again = runtime.spawn(name: "again", every: .milliseconds(1)) {
                        if Task.isCancelled { return }
                        withUnsafeCurrentTask { $0?.cancel() }
                        throw Mistake("every")
                    }
                    await again.finished()
                }
                // No errors: nobody is told of what was cancelled.
                let cancelled = Task { try await runtime.clock.sleep(for: .seconds(60)) }
                cancelled.cancel()
                let port = try await serveOnce()
                print("served: \(port > 0)")
                // But one who gives up by itself has something to say.
                Task { throw CancellationError() }
                await Task.yield()
            }
            print("ended: \(try outcome.value) \(outcome.report.uncaughtErrors)")
        } catch { print("failed: \(error)") }
    }

    private static func serveOnce() async throws -> Int {
        let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
        let port = listener.localAddress.port ?? 0
        let serving = Task { try await listener.serve { _ in throw Mistake("handler") } }
        try await withTCPConnection(host: "127.0.0.1", port: port) { client in
            _ = try await client.inbound.next()
        }
        listener.stopAccepting()
        try await serving.value
        return port
    }

    private static let calls = Atomic<Int>(0)

    /// A handler that begins tasks of every kind that fail: none comes back to it.
    static func failing() {
        let configuration = NoriaProbe.configuration.with {
            $0.diagnostics.uncaughtErrors = UncaughtErrorHandler { _ in
                calls.wrappingAdd(1, ordering: .relaxed)
                Task { throw Mistake("inherits") }
                Task.detached { throw Mistake("detached") }
                Task.immediate { throw Mistake("immediate") }
                Task { Task { throw Mistake("grandchild") } }
                Runtime.current?.spawn(name: "spawned by it") { throw Mistake("spawned") }
            }
        }
        do {
            let outcome = try Runtime.run(configuration) { runtime in
                Task { throw Mistake("first") }
                for _ in 0..<100 { await Task.yield() }
                print("the loop goes on: \(NoriaProbe.place())")
                Task { throw Mistake("second") }
                for _ in 0..<100 { await Task.yield() }
            }
            print("ended: \(try outcome.value)")
            print("calls: \(calls.load(ordering: .relaxed)) \(outcome.report.uncaughtErrors)")
        } catch { print("failed: \(error)") }
    }

    /// The first uncaught error ends the program in order, with 1.
    static func shutDown() {
        let configuration = NoriaProbe.configuration.with {
            $0.diagnostics.uncaughtErrors = .shutDown
        }
        Runtime.main(configuration) { runtime in
            Task { throw Mistake("the end") }
            try await runtime.shutdown.requested()
            print("requested")
        }
    }

    // MARK: The list

    private static let endedCount = Atomic<Int>(0)

    /// 100,000 live tasks: listed in time, no loop stops for it, and each is cancelled at the end.
    static func many() {
        let count = CommandLine.arguments.dropFirst(2).first.flatMap { Int($0) } ?? 100_000
        do {
            let configuration = NoriaProbe.configuration.with {
                $0.shutdown.deadline = .seconds(20)
            }
            let outcome = try Runtime.run(configuration) { runtime in
                for number in 0..<count {
                    Task(name: number % 2 == 0 ? "even" : "odd") {
                        try? await runtime.clock.sleep(for: .seconds(3600))
                        endedCount.wrappingAdd(1, ordering: .relaxed)
                    }
                    if number % 100 == 0 { await Task.yield() }
                }
                while runtime.eventLoops.main.snapshot().timersPending < count {
                    await Task.yield()
                }
                // Of this thread alone: others may have the processors meanwhile.
                let begin = processorSeconds
                let tasks = runtime.tasks()
                let length = processorSeconds - begin
                print("listed: \(tasks.count { $0.name == "odd" }) odd")
                print(
                    "ordered: \(zip(tasks, tasks.dropFirst()).allSatisfy { $0.ageSeconds >= $1.ageSeconds })"
                )
                print("ids: \(Set(tasks.map(\.id)).count == tasks.count)")
                print("on: \(Set(tasks.compactMap(\.eventLoop)))")
                print("count: \(runtime.snapshot().taskCount == tasks.count)")
                print("in a second: \(length < 1)")
                if length >= 1 { print("  \(length) s") }
                kill(getpid(), SIGUSR1)
                // The longest wait of a timer while another thread lists the tasks.
                var longest = Duration.zero
                for _ in 0..<300 {
                    let before = ContinuousClock.now
                    try await runtime.clock.sleep(for: .milliseconds(1))
                    longest = max(longest, before.duration(to: .now))
                }
                let text = "longest millisecond: \(longest)\n"
                write(STDERR_FILENO, text, text.utf8.count)
            }
            print("ended: \(endedCount.load(ordering: .relaxed))")
            print("cancelled: \(outcome.report.cancelled)")
        } catch { print("failed: \(error)") }
    }

    /// What the calling thread has computed.
    private static var processorSeconds: Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// Two loops' tasks, one that is cancelled, and a list that is switched off.
    static func listed() {
        let configuration = NoriaProbe.configuration.with { $0.loops.count = 2 }
        do {
            _ = try Runtime.run(configuration) { runtime in
                let second = runtime.eventLoops[1]
                let sleeper = Task(name: "sleeper", executorPreference: second.taskExecutor) {
                    while !Task.isCancelled { await Task.yield() }
                    await park()
                }
                let long = String(repeating: "long", count: 40)
                Task(name: long) { await park() }
                Task { @MainActor in await park() }
                while parkedCount < 2 { await Task.yield() }
                sleeper.cancel()
                while parkedCount < 3 { await Task.yield() }
                let tasks = runtime.tasks()
                let found = tasks.first { $0.name == "sleeper" }
                print("sleeper: \(found?.eventLoop ?? -1) cancelled \(found?.isCancelled ?? false)")
                print("age: \(found.map { (0.0...10).contains($0.ageSeconds) } ?? false)")
                print("cut: \(tasks.contains { $0.name == String(long.prefix(63)) })")
                print("body: \(tasks.contains { $0.name == "noria body" })")
                unpark()
                while runtime.tasks().count > 1 { await Task.yield() }
                print("none left")
                // What goes away between two looks.
                for _ in 0..<10_000 { Task {} }
                while runtime.tasks().count > 1 { await Task.yield() }
                print("none left")
            }
            let off = configuration.with { $0.diagnostics.tracksTasks = false }
            let outcome = try Runtime.run(off) { runtime in
                Task { await park() }
                Task { throw Mistake("unlisted") }
                await Task.yield()
                print("off: \(runtime.tasks().count) \(runtime.snapshot().taskCount)")
            }
            print("still met: \(outcome.report.uncaughtErrors.reported)")
            unpark()
        } catch { print("failed: \(error)") }
    }

    private static let parked = Guarded<[UnsafeContinuation<Void, Never>]>([])
    private static var parkedCount: Int { parked.withLock { $0.count } }

    private static func park() async {
        await withUnsafeContinuation { continuation in
            parked.withLock { $0.append(continuation) }
        }
    }

    private static func unpark() {
        let all = parked.withLock { parked in
            defer { parked = [] }
            return parked
        }
        for continuation in all { continuation.resume() }
    }
}
