// SPDX-License-Identifier: Apache-2.0
import Dispatch
import Glibc
import Noria
import NoriaSystem
import Synchronization

/// What becomes of the errors of tasks that nobody awaits, and of those that somebody does.
enum PlainTasks {
    struct Mistake: Error { let number: Int }

    /// How often each number was handed to the handler.
    private static let seen = Guarded<[Int: Int]>([:])

    private static func configuration(
        _ change: (inout RuntimeConfiguration) -> Void = { _ in }
    ) -> RuntimeConfiguration {
        NoriaProbe.configuration.with {
            $0.diagnostics.uncaughtErrors = UncaughtErrorHandler { error in
                guard let mistake = error.error as? Mistake else { return print("\(error)") }
                seen.withLock { $0[mistake.number, default: 0] += 1 }
            }
            change(&$0)
        }
    }

    /// COUNT tasks fail, made in every way and from every kind of thread.
    static func failing() {
        let count = CommandLine.arguments.count > 2 ? Int(CommandLine.arguments[2]) ?? 0 : 20_000
        do {
            let outcome = try Runtime.run(configuration()) { runtime in
                try await fail(count, runtime)
            }
            let times = seen.withLock { $0 }
            print("ended: \(try outcome.value)")
            print("reported: \(times.count) of \(count)")
            print("twice: \(times.values.count { $0 != 1 })")
            print("counts: \(outcome.report.uncaughtErrors)")
            print("cancelled: \(outcome.report.cancelled)")
        } catch { print("failed: \(error)") }
    }

    private static func fail(_ count: Int, _ runtime: Runtime) async throws {
        let share = count / 4
        // On the loop, and detached.
        for number in 0..<share {
            if number % 2 == 0 {
                Task { throw Mistake(number: number) }
            } else {
                Task.detached(name: "detached") { throw Mistake(number: number) }
            }
            if number % 1000 == 0 { await Task.yield() }
        }
        // Immediate: its maker holds it at its end.
        for number in share..<2 * share {
            Task.immediate { throw Mistake(number: number) }
            if number % 100 == 0 { await Task.yield() }
        }
        // From another thread, which may be anywhere when the task has ended.
        async let others: Void = runtime.blocking.run {
            for number in 2 * share..<3 * share { Task { throw Mistake(number: number) } }
        }
        // On other threads, behind a wait.
        for number in 3 * share..<count {
            Task(executorPreference: runtime.blocking.taskExecutor) {
                throw Mistake(number: number)
            }
            if number % 500 == 0 { try await runtime.clock.sleep(for: .milliseconds(1)) }
        }
        try await others
        // Those of the pool have ended when the list is empty but for the runtime's own.
        while runtime.tasks().contains(where: { $0.name?.hasPrefix("noria") != true }) {
            try await runtime.clock.sleep(for: .milliseconds(1))
        }
        // Nobody has to end the run for a report, also of those that were held.
        let limit = ContinuousClock.now + .seconds(10)
        while seen.withLock({ $0.count }) < count, ContinuousClock.now < limit {
            try await runtime.clock.sleep(for: .milliseconds(1))
        }
        print("before the end: \(seen.withLock { $0.count } == count)")
    }

    /// Whoever waits has the error: nobody else is told.
    static func awaited() {
        do {
            let outcome = try Runtime.run(configuration()) { runtime in
                for number in 0..<1000 { await await1(number, runtime) }
            }
            print("ended: \(try outcome.value)")
            print("reported: \(seen.withLock { $0 })")
            print("counts: \(outcome.report.uncaughtErrors)")
        } catch { print("failed: \(error)") }
    }

    private static func await1(_ number: Int, _ runtime: Runtime) async {
        // Before it has run, after it has failed, and by its result.
        let first = Task { throw Mistake(number: number) }
        _ = await first.result
        let second = Task { throw Mistake(number: number) }
        await Task.yield()
        await Task.yield()
        do { try await second.value } catch {}
        let third = Task.immediate { throw Mistake(number: number) }
        do { try await third.value } catch {}
        let fourth = Task.detached { throw Mistake(number: number) }
        if number % 100 == 0 { try? await runtime.clock.sleep(for: .milliseconds(2)) }
        _ = await fourth.result
        // Held, and let go of in a later job, but awaited in between by another.
        let fifth = Task.immediate { throw Mistake(number: number) }
        await Task { _ = await fifth.result }.value
        _ = try? await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { throw Mistake(number: number) }
            try await group.next()
        }
        try? await withThrowingDiscardingTaskGroup { group in
            group.addTask { throw Mistake(number: number) }
        }
        // A child that is never looked at is its group's, as is one that is left by its scope.
        await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { throw Mistake(number: number) }
        }
        async let value: Void = fail(number)
        _ = try? await value
        async let _: Void = fail(number)
        await Task.yield()
    }

    private static func fail(_ number: Int) async throws { throw Mistake(number: number) }

    /// 10,000 fail at once, 100 when they are cancelled at the end; what the log holds back is counted.
    static func atShutdown() {
        let configuration = NoriaProbe.configuration
        do {
            let outcome = try Runtime.run(configuration) { runtime in
                for number in 0..<10_000 { Task { throw Mistake(number: number) } }
                for number in 0..<100 {
                    Task(name: "late") {
                        do { try await runtime.clock.sleep(for: .seconds(60)) } catch {
                            throw Mistake(number: number)
                        }
                    }
                    // These end as what is cancelled does: no errors.
                    Task { try await runtime.clock.sleep(for: .seconds(60)) }
                    Task { try await Task.sleep(for: .seconds(60)) }
                }
                runtime.spawn(name: "spawned") { throw Mistake(number: -1) }
            }
            let counts = outcome.report.uncaughtErrors
            print("ended: \(try outcome.value)")
            print("sum: \(counts.reported + counts.suppressed)")
            print("held back: \(counts.suppressed > 9000)")
            print("cancelled: \(outcome.report.cancelled)")
        } catch { print("failed: \(error)") }
    }
}
