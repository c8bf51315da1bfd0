// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem
internal import SystemPackage

/// The threads of the loops beside the main one, for one run, and the monitor over all of them.
struct LoopThreads {
    private var threads: [LoopThread] = []
    private var monitor: LoopMonitor?

    /// Starts a thread for each loop but the first; when one can't be had, none runs.
    ///
    /// Embedded there is nothing to share between them: each job belongs to one loop.
    static func start(
        _ loops: EventLoopGroup,
        _ kind: BackendKind,
        _ budget: TurnBudget,
        isSharing: Bool
    ) throws(RuntimeError) -> LoopThreads {
        var started = LoopThreads()
        if isSharing, loops.count > 1 { try started.watch(loops) }
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

    private mutating func watch(_ loops: EventLoopGroup) throws(RuntimeError) {
        do throws(Errno) {
            let monitor = try LoopMonitor(loops)
            try monitor.start()
            self.monitor = monitor
        } catch {
            for loop in loops { loop.monitor = nil }
            throw RuntimeError(
                .backendUnavailable("no thread to watch over the loops: \(error); use one loop")
            )
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
    /// Readable when the thread has begun to turn, or could not.
    private let begun: Int32
    private let failure = Guarded<RuntimeError?>(nil)
    private let joinable = Guarded<Thread.Joinable?>(nil)

    private init(_ loop: EventLoop) throws(Errno) {
        self.loop = loop
        begun = try Descriptor.event()
    }

    deinit { Descriptor.close(begun) }

    static func start(
        _ loop: EventLoop,
        _ kind: BackendKind,
        _ budget: TurnBudget
    ) throws(RuntimeError) -> LoopThread {
        let thread: LoopThread
        do throws(Errno) {
            thread = try LoopThread(loop)
            let joinable = try Thread.startJoinable { thread.run(kind, budget) }
            thread.joinable.withLock { $0 = joinable }
        } catch {
            throw RuntimeError(
                .backendUnavailable(
                    "no thread for \(loop): \(error); fewer loops, or a higher 'ulimit -u'"
                )
            )
        }
        while !Descriptor.waits(thread.begun, nanoseconds: .max) {}
        if let failure = thread.failure.withLock({ $0 }) {
            thread.join()
            throw failure
        }
        return thread
    }

    /// Ends the loop with its present turn, and returns when its thread has gone.
    func end() {
        loop.post { [loop] in loop.finish() }
        join()
    }

    private func join() { joinable.withLock { $0.take() }?.join() }

    private func run(_ kind: BackendKind, _ budget: TurnBudget) {
        Thread.name("noria \(loop)")
        // Made here, since a ring belongs to the thread that enables it.
        let (backend, refusals) = BackendSelection.make([kind])
        guard let backend, (try? loop.begin(engine: Engine(backend: backend))) != nil else {
            let reason = refusals.first?.reason ?? "it can't watch the loop's eventfd"
            failure.withLock {
                $0 = RuntimeError(
                    .backendUnavailable("\(kind) runs, but not once more for \(loop): \(reason)")
                )
            }
            return Descriptor.signalEvent(begun)
        }
        Descriptor.signalEvent(begun)
        loop.run(budget)
        loop.end()
    }
}
