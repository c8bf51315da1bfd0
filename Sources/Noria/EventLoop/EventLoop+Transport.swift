// SPDX-License-Identifier: Apache-2.0
package import NoriaEngine
internal import NoriaSystem

/// What another framework has on a loop for one run: its own view of it.
package protocol LoopAdapter: AnyObject, Sendable {
    /// Ends what there is, on the loop's thread: what this queues is run, and then the run is over.
    func loopEnds()
}

/// What the adapters of other frameworks stand on: a loop's engine and its timers.
extension EventLoop {
    /// The engine of the present run.
    ///
    /// Loop thread only.
    package var transportEngine: Engine { engine }

    /// Loop thread only; the deadline in nanoseconds of the monotonic clock.
    package func addTimer(
        at deadline: UInt64,
        owner: any TimerOwner,
        context: UInt = 0
    ) -> TimerID {
        timers.add(deadline: deadline, owner: owner, context: context)
    }

    /// Who waits for a timer.
    ///
    /// Loop thread only.
    package var timerOwners: [any TimerOwner] { timers.owners }

    /// The adapter of the present run, made at the first call.
    ///
    /// Any thread.
    package func presentAdapter<Adapter: LoopAdapter>(_ make: () -> Adapter) -> Adapter {
        adapter.withLock { present in
            if let present = present as? Adapter { return present }
            let made = make()
            present = made
            return made
        }
    }

    /// Loop thread only.
    package func cancelTimer(_ id: TimerID) { timers.cancel(id) }

    /// Counts a connection that was opened (1), by a listener or not, or closed (-1).
    ///
    /// Loop thread only.
    package func countConnection(_ change: Int, isAccepted: Bool) {
        countConnection(change)
        if isAccepted { count(\.accepted) }
    }

    /// Counts a stream that its peer, or the network, has reset.
    ///
    /// Loop thread only.
    package func countReset() { count(\.reset) }
}
