// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem
internal import Synchronization
internal import SystemPackage

/// The thread of a loop beside the main one, for one run.
final class LoopThread: Sendable {
    let loop: EventLoop
    /// Readable when the thread has begun to turn, or could not; again when it has ended.
    private let changed: Int32
    private let failure = Mutex<RuntimeError?>(nil)

    private init(_ loop: EventLoop) throws(Errno) {
        self.loop = loop
        changed = try Descriptor.event()
    }

    deinit { Descriptor.close(changed) }

    /// Starts a thread for each loop but the first; when one can't be had, none runs.
    static func start(
        _ loops: EventLoopGroup,
        _ kind: BackendKind,
        _ budget: TurnBudget
    ) throws(RuntimeError) -> [LoopThread] {
        var threads: [LoopThread] = []
        for loop in loops.dropFirst() {
            do throws(RuntimeError) {
                threads.append(try start(loop, kind, budget))
            } catch {
                for thread in threads { thread.end() }
                throw error
            }
        }
        return threads
    }

    private static func start(
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
