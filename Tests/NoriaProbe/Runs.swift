// SPDX-License-Identifier: Apache-2.0
import Dispatch
import Glibc
import Noria
import Synchronization

/// How runs begin, follow each other, and end.
enum Runs {
    static func twice() {
        var counts: [(Int, Int)] = []
        for round in 1...3 {
            do {
                let outcome = try Runtime.run(NoriaProbe.configuration) { _ in
                    try await Task.sleep(for: .milliseconds(1))
                    return round
                }
                print("run \(round): \(try outcome.value)")
            } catch { print("run \(round): \(error)") }
            counts.append((NoriaProbe.descriptorCount, NoriaProbe.threadCount))
        }
        print("descriptors equal: \(counts[1].0 == counts[0].0 && counts[2].0 == counts[0].0)")
        print("threads equal: \(counts[1].1 == counts[0].1 && counts[2].1 == counts[0].1)")
        var action = sigaction()
        sigaction(SIGTERM, nil, &action)
        print("SIGTERM default: \(action.__sigaction_handler.sa_handler == nil)")
    }

    private static func runInside() -> String {
        do {
            _ = try Runtime.run { _ in }
            return "ran"
        } catch { return "\(error)" }
    }

    static func nested() {
        _ = try? Runtime.run(NoriaProbe.configuration) { _ in
            print("nested: \(runInside())")
        }
        let semaphore = DispatchSemaphore(value: 0)
        DispatchQueue.global().async {
            print("off main: \(runInside())")
            semaphore.signal()
        }
        semaphore.wait()
    }

    private actor Pinned {
        private let loop: EventLoop
        nonisolated var unownedExecutor: UnownedSerialExecutor { loop.unownedExecutor }
        init(on loop: EventLoop) { self.loop = loop }

        func wait(_ box: Waiters) async {
            await withUnsafeContinuation { continuation in box.keep(continuation) }
            print("pinned resumed: \(NoriaProbe.place())")
            box.noteResumed()
        }
    }

    /// Continuations that wait across two runs.
    final class Waiters: Sendable {
        private let kept = Mutex<[UnsafeContinuation<Void, Never>]>([])
        func keep(_ continuation: UnsafeContinuation<Void, Never>) {
            kept.withLock { $0.append(continuation) }
        }
        var count: Int { kept.withLock { $0.count } }
        private let resumed = Atomic<Int>(0)
        var resumedCount: Int { resumed.load(ordering: .acquiring) }
        func noteResumed() { resumed.wrappingAdd(1, ordering: .acquiringAndReleasing) }
        func resumeAll() {
            for continuation in kept.withLock({ $0 }) { continuation.resume() }
        }
    }

    @MainActor private static func waitOnMain(_ box: Waiters) async {
        await withUnsafeContinuation { continuation in box.keep(continuation) }
        print("main resumed: \(NoriaProbe.place())")
        box.noteResumed()
    }

    static func residual() {
        let box = Waiters()
        let sema = DispatchSemaphore(value: 0)
        _ = try? Runtime.run(NoriaProbe.configuration) { runtime in
            let pinned = Pinned(on: runtime.eventLoops.main)
            _ = Task { await pinned.wait(box) }
            _ = Task { await waitOnMain(box) }
            _ = Task.detached {
                await withUnsafeContinuation { continuation in box.keep(continuation) }
                print("plain resumed: \(NoriaProbe.place())")
                sema.signal()
            }
            while box.count < 3 { await Task.yield() }
        }
        // No runtime runs: the plain one goes on elsewhere, the two others wait for the next run.
        box.resumeAll()
        sema.wait()
        print("between")
        _ = try? Runtime.run(NoriaProbe.configuration) { _ in
            // They come through Dispatch's threads, at their own time: waited for, not hoped for.
            while box.resumedCount < 2 { await Task.yield() }
        }
        print("ended")
    }

    struct Mistake: Error {}

    static func throwing() {
        Runtime.main(NoriaProbe.configuration) { _ in throw Mistake() }
    }

    /// Neither ends nor listens to its cancellation: the deadline ends it.
    static func stubborn() {
        Runtime.main(NoriaProbe.configuration.with { $0.shutdown.deadline = .seconds(1) }) { _ in
            print("running")
            fflush(nil)
            while true { await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in } }
        }
    }
}
