// SPDX-License-Identifier: Apache-2.0
internal import CNoria
internal import Glibc
package import SystemPackage

/// Plain threads and the process around them.
package enum Thread {
    package static var processID: Int32 { getpid() }
    package static var id: Int32 { noria_thread_id() }

    /// The first thread of a process bears the process's number.
    package static var isMain: Bool { getpid() == noria_thread_id() }

    /// Starts a detached thread.
    ///
    /// EAGAIN means that a limit of threads or memory was met.
    package static func start(_ body: sending @escaping () -> Void) throws(Errno) {
        pthread_detach(try create(body))
    }

    /// Starts a thread that is to be joined.
    package static func startJoinable(
        _ body: sending @escaping () -> Void
    ) throws(Errno) -> Joinable {
        Joinable(thread: try create(body))
    }

    /// A thread that keeps its place in the kernel until somebody has waited for its end.
    package struct Joinable: Sendable {
        let thread: pthread_t

        /// Blocks until the thread has gone; once, and never on the thread itself.
        package func join() { pthread_join(thread, nil) }

        /// Lets it end by itself, whenever that is; instead of `join`.
        package func leave() { pthread_detach(thread) }
    }

    private static func create(
        _ body: sending @escaping () -> Void
    ) throws(Errno) -> pthread_t {
        let box = Unmanaged.passRetained(Body(body))
        var thread = pthread_t()
        let error = pthread_create(
            &thread,
            nil,
            { argument in
                guard let argument else { return nil }
                // SAFETY: the pointer is the box that was retained for this thread alone.
                Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            },
            box.toOpaque()
        )
        guard error == 0 else {
            box.release()
            throw Errno(rawValue: error)
        }
        return thread
    }

    /// Names the calling thread, as debuggers and `top -H` show it: 15 bytes at most.
    package static func name(_ name: String) { noria_name_thread(name) }

    /// Has this thread's writes over the limit for files (`ulimit -f`) fail with EFBIG, without the
    /// signal that ends the process; the kernel holds memory files to that limit as well.
    package static func refuseFileSizeSignal() {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGXFSZ)
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    private final class Body {
        let run: () -> Void
        init(_ run: @escaping () -> Void) { self.run = run }
    }

    /// Blocks this thread, whatever signals come.
    package static func sleep(nanoseconds: Int64) {
        let end = MonotonicClock.now + UInt64(nanoseconds)
        while true {
            let left = Int64(bitPattern: end &- MonotonicClock.now)
            guard left > 0 else { return }
            var rest = timespec(
                tv_sec: Int(left / 1_000_000_000),
                tv_nsec: Int(left % 1_000_000_000)
            )
            nanosleep(&rest, nil)
        }
    }

    /// Ends the process now: nothing is flushed, no destructor runs.
    package static func exitProcess(_ code: Int32) -> Never { _exit(code) }

    package static func finishProcess(_ code: Int32) -> Never { exit(code) }

    /// The process's working folder.
    package static var workingFolder: String {
        guard let path = getcwd(nil, 0) else { return "/" }
        defer { free(path) }
        return String(cString: path)
    }

    /// The file that this program is, to be started again; by its name, so that a child bears it.
    package static var programPath: String {
        let link = "/proc/self/exe"
        // When the file has been replaced, as a deployment does it, the link leads to it still.
        guard let path = try? SystemFile.link(at: link) else { return link }
        return access(path, X_OK) == 0 ? path : link
    }

    package static func environment(_ name: String) -> String? {
        guard let value = getenv(name) else { return nil }
        return String(cString: value)
    }

    /// The variables whose names begin with `prefix`.
    package static func environment(prefixed prefix: String) -> [String: String] {
        var found: [String: String] = [:]
        var entry = environ
        while let text = entry.pointee {
            let parts = String(cString: text).split(
                separator: "=",
                maxSplits: 1,
                omittingEmptySubsequences: false
            )
            if parts.count == 2, parts[0].hasPrefix(prefix) {
                found[String(parts[0])] = String(parts[1])
            }
            entry += 1
        }
        return found
    }

    /// Writes to standard error or another descriptor without a lock that others may hold; false
    /// when not all of it could be written.
    @discardableResult
    package static func write(_ text: String, to fd: Int32) -> Bool {
        var bytes = ArraySlice(text.utf8.map { $0 })
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(fd, $0.baseAddress, $0.count) }
            guard count > 0 || (count < 0 && errno == EINTR) else { return false }
            bytes = bytes.dropFirst(Swift.max(count, 0))
        }
        return true
    }

    /// See `noria_deliver_deferred_signals`: for waits that ended with EINTR.
    package static func deliverDeferredSignals() { noria_deliver_deferred_signals() }
}
