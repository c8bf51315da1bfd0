// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria
import Synchronization

/// What becomes of spawned tasks, their errors and their ends.
enum Spawning {
    private struct Mistake: Error {}

    static func run() {
        do {
            let outcome = try Runtime.run(NoriaProbe.configuration) { runtime in
                await once(runtime)
                await again(runtime)
                await late(runtime)
            }
            print("ended: \(try outcome.value) \(outcome.report.cancelled)")
        } catch { print("failed: \(error)") }
    }

    private static func once(_ runtime: Runtime) async {
        let spawned = runtime.spawn(name: "once") { print("once: \(NoriaProbe.place())") }
        await spawned.finished()
        print("name: \(spawned.name) numbered: \(spawned.id > 0)")
        await runtime.spawn(name: "on main") { @MainActor in
            MainActor.assertIsolated()
            print("on main: \(NoriaProbe.place())")
        }.finished()
        await runtime.spawn(name: "here", on: runtime.eventLoops.main) {
            print("here: \(NoriaProbe.place()) \(Task.name ?? "unnamed")")
        }.finished()
        await runtime.spawn(name: "fails") { throw Mistake() }.finished()
        await runtime.spawn(name: "gives up") { throw CancellationError() }.finished()
        let cancelled = runtime.spawn(name: "cancelled") {
            try await Task.sleep(for: .seconds(60))
        }
        cancelled.cancel()
        await cancelled.finished()
        print("cancelled: ended")
    }

    private static func again(_ runtime: Runtime) async {
        let count = Atomic<Int>(0)
        let third = Waiting()
        let failing = runtime.spawn(name: "fails again", every: .milliseconds(2)) {
            let round = count.wrappingAdd(1, ordering: .relaxed).newValue
            if round == 3 { third.pass() }
            if round <= 3 { throw Mistake() }
        }
        await third.wait()
        failing.cancel()
        await failing.finished()
        print("third run after two that failed: \(count.load(ordering: .relaxed) >= 3)")
    }

    /// A run of two and a half periods, whose next must not come before the end of the third.
    private static func late(_ runtime: Runtime) async {
        let period = Duration.milliseconds(20)
        let begins = Mutex<[ContinuousClock.Instant]>([])
        let third = Waiting()
        let begin = ContinuousClock.now
        let spawned = runtime.spawn(name: "late", every: period) {
            let round = begins.withLock { begins in
                begins.append(.now)
                return begins.count
            }
            if round == 1 { try await Task.sleep(for: period * 2.5) }
            if round == 3 { third.pass() }
        }
        await third.wait()
        spawned.cancel()
        await spawned.finished()
        let seen = begins.withLock { $0 }
        print("missed ticks skipped: \(seen[1] - begin >= period * 3)")
        print("one run at a time: \(seen[2] > seen[1])")
    }

    private static let isCleanedUp = Atomic<Bool>(false)
    private static let kept = Mutex<Runtime?>(nil)

    /// The end of a run meets tasks of each kind.
    static func atShutdown() {
        let configuration = NoriaProbe.configuration.with { $0.shutdown.deadline = .seconds(1) }
        do {
            let outcome = try Runtime.run(configuration) { runtime in
                kept.withLock { $0 = runtime }
                runtime.spawn(name: "sleeper") { try await Task.sleep(for: .seconds(60)) }
                runtime.spawn(name: "cleaner") {
                    try? await Task.sleep(for: .seconds(60))
                    // It ends in its own time, cancelled or not.
                    await Task { try? await Task.sleep(for: .milliseconds(50)) }.value
                    isCleanedUp.store(true, ordering: .relaxed)
                }
                runtime.spawn(name: "refresh", every: .seconds(60)) {}
                runtime.spawn(name: "last words") {
                    try await runtime.shutdown.requested()
                    throw Mistake()
                }
            }
            print("cleaned up: \(isCleanedUp.load(ordering: .relaxed))")
            print("report: \(outcome.report.reason) \(outcome.report.exitCode.rawValue)")
            print("cancelled: \(outcome.report.cancelled)")
        } catch { print("failed: \(error)") }
        let quick = try? Runtime.run(configuration) { runtime in
            runtime.spawn(name: "refresh", every: .seconds(60)) {}
        }
        print("nothing to cancel: \(quick?.report.cancelled ?? ["no run"])")
        let spawned = kept.withLock { $0 }?.spawn(name: "too late") { print("it ran") }
        print("too late: \(spawned?.id ?? 1)")
    }

    /// Something that one task waits for and another does.
    private final class Waiting: Sendable {
        private let state = Mutex<(isOpen: Bool, waiter: UnsafeContinuation<Void, Never>?)>(
            (false, nil)
        )

        func pass() {
            let waiter = state.withLock { state in
                state.isOpen = true
                return state.waiter.take()
            }
            waiter?.resume()
        }

        func wait() async {
            await withUnsafeContinuation { continuation in
                let isOpen = state.withLock { state in
                    if !state.isOpen { state.waiter = continuation }
                    return state.isOpen
                }
                if isOpen { continuation.resume() }
            }
        }
    }
}
