// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
internal import Synchronization
package import SystemPackage

/// What makes a sleeping loop look, with at most one write for each sleep.
///
/// The latch and the queue that it guards close one race. The producer does *push, then look at
/// the latch*; the loop does *set `polling`, then look at the queue*. All four steps are
/// sequentially consistent, so at least one of the two sees the other:
///
/// - the producer's push comes before the loop's look: the loop finds the job and does not sleep;
/// - the loop's look comes first: its `polling` came before the producer's look at the latch,
///   which therefore rouses. Of several producers one wins `polling → notified` and writes.
///
/// The write may come before the wait begins: the eventfd stays readable, so the wait ends at once.
package final class Wakeup: Sendable {
    private enum Latch {
        static let running: UInt8 = 0
        static let polling: UInt8 = 1
        static let notified: UInt8 = 2
        static let stopped: UInt8 = 3
    }

    package let descriptor: Int32
    private let latch = Atomic<UInt8>(Latch.stopped)
    private let writes = Atomic<UInt64>(0)

    package init() throws(Errno) { descriptor = try Descriptor.event() }

    deinit { Descriptor.close(descriptor) }

    /// The eventfd writes of the present run.
    ///
    /// Any thread.
    package var writeCount: UInt64 { writes.load(ordering: .relaxed) }

    /// Whether the loop sleeps, or is about to.
    ///
    /// Any thread.
    package var isSleeping: Bool { latch.load(ordering: .sequentiallyConsistent) == Latch.polling }

    /// Any thread.
    package func resetWriteCount() { writes.store(0, ordering: .relaxed) }

    /// Makes the loop look, if it sleeps.
    ///
    /// False when it has stopped: nobody will look. Any thread.
    package func rouse() -> Bool {
        switch latch.load(ordering: .sequentiallyConsistent) {
        case Latch.running, Latch.notified:
            return true
        case Latch.polling:
            let (won, seen) = latch.compareExchange(
                expected: Latch.polling,
                desired: Latch.notified,
                ordering: .sequentiallyConsistent
            )
            if won {
                writes.wrappingAdd(1, ordering: .relaxed)
                Descriptor.signalEvent(descriptor)
            }
            return seen != Latch.stopped
        default:
            return false
        }
    }

    /// Announces a sleep; the caller looks at its queue once more after it.
    ///
    /// Loop thread only.
    package func willSleep() { latch.store(Latch.polling, ordering: .sequentiallyConsistent) }

    /// Ends a sleep, or begins a run.
    ///
    /// Loop thread only.
    package func didWake() { latch.store(Latch.running, ordering: .sequentiallyConsistent) }

    /// Nobody looks from now on; the caller looks at its queue once more after it.
    ///
    /// Loop thread only.
    package func stop() { latch.store(Latch.stopped, ordering: .sequentiallyConsistent) }
}
