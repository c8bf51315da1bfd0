// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
internal import Synchronization

/// The heartbeat of a loop that is none of ours, by which the watchdog watches it.
///
/// The loop beats by itself, once a period, and leaves here when its next beat is due; the watchdog
/// reads that from outside. A beat that is overdue is a turn that lasts, from the moment at which it
/// was due: so a stall is judged shorter than it was by a period at most, never longer.
package final class Heartbeat: Sendable, CustomStringConvertible {
    /// The name of the loop's group.
    let group: String
    /// The loop's place in it.
    let index: Int
    let turnLog = TurnLog()
    private let nanoseconds: UInt64
    private let isStopped = Atomic<Bool>(false)
    private let isGone = Atomic<Bool>(false)

    init(group: String, index: Int, period: Duration) {
        self.group = group
        self.index = index
        nanoseconds = UInt64(period.nanoseconds)
    }

    /// `loop 0 of 'http client'`.
    package var description: String { "loop \(index) of '\(group)'" }

    /// From one beat to the next.
    ///
    /// Any thread.
    package var period: Duration { .nanoseconds(Int64(nanoseconds)) }

    /// The first beat, from which on the loop's thread is known; whether that has had the
    /// watchdog's signal blocked.
    ///
    /// Loop thread only.
    package func begin() -> Bool {
        let now = MonotonicClock.now
        turnLog.beginRun(now)
        turnLog.beginTurn(now + nanoseconds)
        return StackCapture.admit()
    }

    /// A further one; false when it is the last.
    ///
    /// Loop thread only.
    package func beat(hadStacksBlocked: Bool) -> Bool {
        let (now, due) = (MonotonicClock.now, turnLog.turnBegan)
        turnLog.endTurn(began: due, ended: max(now, due))
        guard !isStopped.load(ordering: .relaxed) else {
            if hadStacksBlocked { StackCapture.refuse() }
            return false
        }
        turnLog.beginTurn(now + nanoseconds)
        return true
    }

    /// The next beat is the last.
    ///
    /// Any thread.
    package func stop() { isStopped.store(true, ordering: .relaxed) }

    /// The loop will not beat again: it has ended, or the last beat was.
    ///
    /// Any thread.
    package func end() { isGone.store(true, ordering: .relaxed) }

    /// Whether nobody has to look any more.
    var isOver: Bool { isGone.load(ordering: .relaxed) }
}

/// A loop that is none of ours, as the watchdog knows it; the watchdog's thread alone.
final class WatchedHeartbeat: Watched {
    let heartbeat: Heartbeat
    private var judge: StallJudge
    private var delay: RunQueueDelay?
    private var throttling = Throttling()
    private(set) var wasQuiet = true

    init(_ heartbeat: Heartbeat, _ configuration: RuntimeConfiguration.Diagnostics) {
        self.heartbeat = heartbeat
        judge = StallJudge(configuration)
        heartbeat.turnLog.watch(from: judge.threshold)
    }

    var name: String { "\(heartbeat)" }
    var index: Int { heartbeat.index }
    var group: String? { heartbeat.group }
    var threadID: Int32 { heartbeat.turnLog.threadID }

    func look(_ now: UInt64, pause: UInt64) -> [WatchedLoop.Finding] {
        // Before its first beat nobody knows whose thread it is.
        guard threadID != 0, !heartbeat.isOver else { return [] }
        if delay == nil { delay = RunQueueDelay(thread: threadID) }
        var found = heartbeat.turnLog.takeLongTurns().compactMap { turn in
            judge.judge(turn, pause: pause).map {
                WatchedLoop.Finding.over($0.length, wasReported: $0.wasReported)
            }
        }
        let due = heartbeat.turnLog.turnBegan
        let isOverdue = due != 0 && due < now
        let look = StallJudge.Look(
            now: now,
            turnBegan: isOverdue ? due : 0,
            runQueueDelay: delay?.read(),
            pause: pause
        )
        if let stall = judge.look(look) {
            found.append(.lasting(stall.length, unreported: stall.unreported))
        }
        // A beat that is a little late, as all are, keeps the watchdog from no rest.
        wasQuiet = !isOverdue || now - due < Self.grace
        if isOverdue, now - due >= judge.threshold {
            throttling.begin()
        } else {
            throttling.forget()
        }
        heartbeat.turnLog.publish(judge)
        return found
    }

    func throttlingNote() -> String? { throttling.note() }

    private static let grace: UInt64 = 10_000_000
}
