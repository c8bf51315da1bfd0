// SPDX-License-Identifier: Apache-2.0
package import NoriaEngine

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

    /// Loop thread only.
    package func cancelTimer(_ id: TimerID) { timers.cancel(id) }

    /// Counts a connection that was opened (1), by a listener or not, or closed (-1).
    ///
    /// Loop thread only.
    package func countConnection(_ change: Int, isAccepted: Bool) {
        countConnection(change)
        if isAccepted { count(\.accepted) }
    }
}
