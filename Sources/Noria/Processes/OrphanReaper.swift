// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem

/// Reaps those whose parent has ended, where this process is the first of its namespace.
///
/// The kernel makes them children of number 1's main thread, and their entries stay until that one
/// has waited for them. A child that another thread started is none of the main thread's, and never
/// looked at. Who started one on the main thread waits for it when it ends, by a descriptor as a
/// rule, and must find it: so only a zombie is reaped that is still there at a third look, two
/// seconds after the first. Between two looks lies a turn, in which this loop's own worker processes
/// are waited for.
struct OrphanWatch {
    private var looks: [Int32: Int] = [:]
    private static let patience = 3

    /// Which of those that have ended at this look are nobody's.
    mutating func orphans(among zombies: [Int32]) -> [Int32] {
        looks = Dictionary(uniqueKeysWithValues: zombies.map { ($0, looks[$0, default: 0] + 1) })
        let orphans = zombies.filter { looks[$0, default: 0] >= Self.patience }
        for orphan in orphans { looks[orphan] = nil }
        return orphans
    }
}

/// The looks, once a second: one system call while nobody has ended.
///
/// The loop is the main thread's. Loop thread only.
final class OrphanReaper: TimerOwner {
    private let loop: EventLoop
    private var watch = OrphanWatch()
    private static let period: UInt64 = 1_000_000_000

    /// Begins where there is a need for it.
    static func begin(on loop: EventLoop) {
        if Thread.processID == 1 { OrphanReaper(loop).arm() }
    }

    private init(_ loop: EventLoop) { self.loop = loop }

    private func arm() {
        _ = loop.timers.add(deadline: MonotonicClock.now &+ Self.period, owner: self)
    }

    func timerFired(_ context: UInt) {
        arm()
        guard let first = Child.firstZombie() else {
            watch = OrphanWatch()
            return
        }
        let zombies = Child.children().filter(\.isZombie).map(\.processID)
            .filter(Child.isZombieOfThisThread)
        // Without /proc there is the one that the kernel names.
        for orphan in watch.orphans(among: zombies.isEmpty ? [first] : zombies) {
            Child.reapOrphan(orphan)
        }
    }
}
