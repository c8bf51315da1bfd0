// SPDX-License-Identifier: Apache-2.0
internal import CNoria
internal import Glibc
package import SystemPackage

/// epoll(7), as far as an edge-triggered loop needs it.
package enum Epoll {
    package static func make() throws(Errno) -> Int32 {
        try check(epoll_create1(Int32(EPOLL_CLOEXEC)))
    }

    package static func add(_ fd: Int32, to epoll: Int32, bits: UInt32, cookie: UInt64)
        throws(Errno)
    {
        var event = epoll_event()
        event.events = bits
        event.data.u64 = cookie
        _ = try check(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
    }

    package static func remove(_ fd: Int32, from epoll: Int32) throws(Errno) {
        var unused = epoll_event()
        _ = try check(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, &unused))
    }

    /// Waits for `nanoseconds`, without end when negative: the number of events, or an error.
    package static func wait(_ epoll: Int32, into events: ReadinessEvents, nanoseconds: Int64)
        -> Int
    {
        noria_epoll_wait(epoll, events.start, Int32(events.capacity), nanoseconds)
    }
}
