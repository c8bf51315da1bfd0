// SPDX-License-Identifier: Apache-2.0
internal import CNoria
internal import Glibc
package import SystemPackage

/// Calls on any descriptor, and the ones that have no other home.
package enum Descriptor {
    /// Closes; the descriptor is gone whatever the result (EINTR included, on Linux).
    package static func close(_ fd: Int32) { _ = Glibc.close(fd) }

    /// Whether a read would not wait: bytes, an end or an error are there.
    package static func isReadable(_ fd: Int32) -> Bool {
        var entry = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
        return noria_poll(&entry, 1, 0) > 0
    }

    /// Gives the three standard streams that are closed a descriptor that fails, so that none of
    /// ours takes their number, and what is written to them.
    package static func fillStandardStreams() {
        while true {
            let fd = open("/dev/null", O_RDONLY)
            guard (0...2).contains(fd) else { return close(fd) }
        }
    }

    package static func isTerminal(_ fd: Int32) -> Bool { isatty(fd) == 1 }

    /// Whether a small write would not wait.
    package static func isWritable(_ fd: Int32) -> Bool {
        var entry = pollfd(fd: fd, events: Int16(POLLOUT), revents: 0)
        return noria_poll(&entry, 1, 0) > 0
    }

    /// Blocks this thread until the descriptor is readable: false when the time was up first.
    package static func waits(_ fd: Int32, nanoseconds: Int64) -> Bool {
        var left = max(0, nanoseconds)
        let start = MonotonicClock.now
        while true {
            var entry = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
            let result = noria_poll(&entry, 1, left)
            if result > 0 { return true }
            // EINTR: a signal came, and the rest of the time is still to be waited for.
            left = nanoseconds &- Int64(clamping: MonotonicClock.now &- start)
            guard result == -Int(EINTR), left > 0 else { return false }
        }
    }

    /// A counter that is readable while it is not zero.
    package static func event() throws(Errno) -> Int32 {
        try check(eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC)))
    }

    /// A file in memory alone, which no child has; /proc shows it by its name.
    package static func memory(named name: String) throws(Errno) -> Int32 {
        try check(noria_memory_file(name))
    }

    /// Makes an event readable.
    ///
    /// Any thread; signal-safe.
    package static func signalEvent(_ fd: Int32) {
        var one: UInt64 = 1
        // EAGAIN means that the counter is full, so it is readable already.
        _ = write(fd, &one, 8)
    }

    package static func clearEvent(_ fd: Int32) {
        var count: UInt64 = 0
        _ = read(fd, &count, 8)
    }
}

extension Errno {
    package static var inProgress: Errno { Errno(rawValue: Glibc.EINPROGRESS) }
    package static var isConnected: Errno { Errno(rawValue: Glibc.EISCONN) }
}
