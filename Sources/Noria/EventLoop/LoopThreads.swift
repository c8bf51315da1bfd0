// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem
internal import Synchronization
internal import SystemPackage

/// The threads of the loops beside the main one, for one run, and the monitor over all of them.
struct LoopThreads {
    private var threads: [LoopThread] = []
    private var monitor: LoopMonitor?

    /// Starts a thread for each loop but the first; when one can't be had, none runs.
    static func start(
        _ loops: EventLoopGroup,
        _ kind: BackendKind,
        _ budget: TurnBudget
    ) throws(RuntimeError) -> LoopThreads {
        var started = LoopThreads()
        guard loops.count > 1 else { return started }
        do throws(Errno) {
            let monitor = try LoopMonitor(loops)
            try monitor.start()
            started.monitor = monitor
        } catch {
            for loop in loops { loop.monitor = nil }
            throw RuntimeError(
                .backendUnavailable("no thread to watch over the loops: \(error); use one loop")
            )
        }
        do throws(RuntimeError) {
            for loop in loops.dropFirst() {
                started.threads.append(try LoopThread.start(loop, kind, budget))
            }
            return started
        } catch {
            started.end()
            throw error
        }
    }

    func end() {
        for thread in threads { thread.end() }
        monitor?.end()
    }
}

/// The thread of one loop.
private final class LoopThread: Sendable {
    let loop: EventLoop
    /// Readable when the thread has begun to turn, or could not; again when it has ended.
    private let changed: Int32
    private let failure = Mutex<RuntimeError?>(nil)

    private init(_ loop: EventLoop) throws(Errno) {
        self.loop = loop
        changed = try Descriptor.event()
    }

    deinit { Descriptor.close(changed) }

    static func start(
        _ loop: EventLoop,
        _ kind: BackendKind,
        _ budget: TurnBudget
    ) throws(RuntimeError) -> LoopThread {
        let thread: LoopThread
        do throws(Errno) {
            thread = try LoopThread(loop)
            try Thread.start { thread.run(kind, budget) }
        } catch {
            throw RuntimeError(
                .backendUnavailable(
                    "no thread for \(loop): \(error); fewer loops, or a higher 'ulimit -u'"
                )
            )
        }
        thread.waitForChange()
        if let failure = thread.failure.withLock({ $0 }) { throw failure }
        return thread
    }

    /// Ends the loop with its present turn, and returns when its thread has let go of everything.
    func end() {
        loop.post { [loop] in loop.finish() }
        waitForChange()
    }

    private func waitForChange() {
        while !Descriptor.waits(changed, nanoseconds: .max) {}
        Descriptor.clearEvent(changed)
    }

    private func run(_ kind: BackendKind, _ budget: TurnBudget) {
        Thread.name("noria \(loop)")
        defer { Descriptor.signalEvent(changed) }
        // Made here, since a ring belongs to the thread that enables it.
        let (backend, refusals) = BackendSelection.make([kind])
        guard let backend, (try? loop.begin(engine: Engine(backend: backend))) != nil else {
            let reason = refusals.first?.reason ?? "it can't watch the loop's eventfd"
            return failure.withLock {
                $0 = RuntimeError(
                    .backendUnavailable("\(kind) runs, but not once more for \(loop): \(reason)")
                )
            }
        }
        Descriptor.signalEvent(changed)
        loop.run(budget)
        loop.end()
    }
}
