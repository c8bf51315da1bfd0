// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
internal import SystemPackage

/// epoll(7), edge-triggered: the kernel remembers what was reported.
///
/// Each descriptor is added once for both directions and never modified, so a busy connection
/// costs no `epoll_ctl` between its first byte and its last.
final class EpollSelector: Selector {
    let kind = BackendKind.epoll
    let isLevelTriggered = false

    private let epoll: Int32
    let events: ReadinessEvents

    /// Events of one wait: as many as a turn delivers, for each brings one or two completions.
    private static let eventsPerWait = 256

    init() throws(Errno) {
        epoll = try Epoll.make()
        events = ReadinessEvents(capacity: Self.eventsPerWait)
    }

    deinit { Descriptor.close(epoll) }

    func add(_ fd: Int32, for directions: Readiness, cookie: UInt64) throws(Errno) {
        typealias Bits = ReadinessEvents.Bits
        var bits = Bits.readable | Bits.readHangUp | Bits.priority | Bits.edgeTriggered
        if directions.isWritable { bits |= Bits.writable }
        try Epoll.add(fd, to: epoll, bits: bits, cookie: cookie)
    }

    func remove(_ fd: Int32) {
        // ENOENT and EBADF: somebody closed it underneath, and the kernel let go of it.
        try? Epoll.remove(fd, from: epoll)
    }

    func rearm(_ fd: Int32, _ direction: Readiness) {}

    func wait(nanoseconds: Int64) -> Int {
        Epoll.wait(epoll, into: events, nanoseconds: nanoseconds)
    }
}
