// SPDX-License-Identifier: Apache-2.0
internal import CNoria
internal import Glibc
package import SystemPackage

/// A process that we started, named by a descriptor: its number may be another's once it has ended
/// and was waited for.
package struct Child: Sendable {
    package let processID: Int32
    /// Readable when it has ended; whoever has this value closes it.
    package let descriptor: Int32

    /// How a process ended.
    package enum End: Sendable, Hashable {
        case exited(code: Int32)
        case killed(signal: Int32)
        /// Somebody else in this process waited for it.
        case unknown
    }

    /// Starts a program with a socket at 3, and a pipe for what it says: see `noria_spawn_worker`.
    package static func spawn(
        _ path: String,
        _ arguments: [String],
        environment: [String],
        socket: Int32,
        errors: Int32
    ) throws(Errno) -> Child {
        // SAFETY: both lists are of copies that live until they are freed below, and end with null.
        var argv = arguments.map { strdup($0) } + [nil]
        var envp = environment.map { strdup($0) } + [nil]
        defer { for text in argv + envp { free(text) } }
        var child = noria_child()
        _ = try check(Int(noria_spawn_worker(path, &argv, &envp, socket, errors, &child)))
        return Child(processID: child.process, descriptor: child.descriptor)
    }

    /// The processes that this one has started and not waited for, by whether they have ended.
    package static func unreaped() -> (zombies: Int, running: Int) {
        let children = children()
        let zombieCount = children.count { $0.isZombie }
        return (zombieCount, children.count - zombieCount)
    }

    /// The children of this process, read from /proc, a file for each process that one can see.
    package static func children() -> [(processID: Int32, isZombie: Bool)] {
        guard let folder = opendir("/proc") else { return [] }
        defer { closedir(folder) }
        var children: [(processID: Int32, isZombie: Bool)] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard let processID = Int32(name),
                let text = try? SystemFile.text(of: "/proc/\(name)/stat"),
                // The name in parentheses may hold anything, parentheses too.
                let end = text.lastIndex(of: ")")
            else { continue }
            let words = text[text.index(after: end)...].split(separator: " ")
            guard words.count > 1, Int32(words[1]) == getpid() else { continue }
            children.append((processID, words[0] == "Z"))
        }
        return children
    }

    /// A child of this thread's that has ended and that nobody has waited for, or nil; it is left as
    /// it is.
    ///
    /// The kernel knows which thread started a child, and gives those of a process that has ended to
    /// the first thread of number 1 (`__WNOTHREAD`, waitid since Linux 4.7).
    package static func firstZombie() -> Int32? {
        endedChild(P_ALL, 0, WNOWAIT)
    }

    /// Whether this is such a child.
    package static func isZombieOfThisThread(_ processID: Int32) -> Bool {
        endedChild(P_PID, processID, WNOWAIT) != nil
    }

    /// Takes the end of a child of this thread's that nobody waits for.
    package static func reapOrphan(_ processID: Int32) {
        _ = endedChild(P_PID, processID, 0)
    }

    private static func endedChild(_ kind: idtype_t, _ number: Int32, _ option: Int32) -> Int32? {
        var info = siginfo_t()
        let options = WEXITED | WNOHANG | Int32(__WNOTHREAD) | option
        let result = waitid(kind, id_t(number), &info, options)
        let processID = info._sifields._sigchld.si_pid
        return result == 0 && processID != 0 ? processID : nil
    }

    package func signal(_ number: Int32) { _ = noria_signal_child(descriptor, number) }

    /// Takes how it ended, once; nil while it runs.
    package func reap(waits: Bool = false) -> End? {
        var end = noria_child_end()
        let result = noria_reap_child(descriptor, waits ? 1 : 0, &end)
        guard result != 0 else { return nil }
        // An error that is none of a child's: nothing better is known of it.
        guard result > 0, end.is_unknown == 0 else { return .unknown }
        return end.is_signal != 0 ? .killed(signal: end.number) : .exited(code: end.number)
    }

    /// Limits its private writable memory, what it has mapped by now included.
    package func limitMemory(byteCount: Int) throws(Errno) {
        _ = try check(Int(noria_limit_memory(processID, UInt64(byteCount))))
    }

    /// The name of a signal as a shell says it, `SIGKILL`, or its number.
    package static func name(ofSignal number: Int32) -> String {
        guard let name = noria_signal_name(number) else { return "signal \(number)" }
        return "SIG" + String(cString: name)
    }
}

/// What a worker does to itself, and asks about where it came from.
package enum WorkerSelf {
    /// Where a worker has its socket.
    package static var socket: Int32 { Int32(NORIA_WORKER_SOCKET) }

    /// The process that started this one.
    package static var parentID: Int32 { getppid() }

    /// The process that made the socket `fd`, or nil when it is none of this kernel's.
    package static func maker(ofSocket fd: Int32) -> Int32? {
        let result = noria_socket_maker(fd)
        return result > 0 ? Int32(truncatingIfNeeded: result) : nil
    }

    package static func closeOnExec(_ fd: Int32) { noria_close_on_exec(fd) }
    package static func removeVariable(_ name: String) { unsetenv(name) }

    /// Writes each line to standard output at once.
    package static func flushLines() { noria_flush_lines() }

    /// SIGINT and SIGTERM, which reach a whole group, are the parent's to judge.
    package static func takeSignals() { noria_worker_signals() }

    /// Says so on `fd` when the process dies because an allocation failed.
    package static func tellOfExhaustedMemory(on fd: Int32, _ bytes: [UInt8]) {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
        copy.copyBytes(from: bytes)
        // It is kept: the handler may need it until the process has gone.
        noria_tell_of_exhausted_memory(fd, copy.baseAddress, UInt64(bytes.count))
    }

    /// Ends this process as soon as the other end of `fd` is closed, on a thread of its own.
    package static func endAtHangup(of fd: Int32) throws(Errno) {
        try Thread.start {
            Thread.name("noria parent")
            noria_wait_for_hangup(fd)
            Thread.exitProcess(0)
        }
    }

    /// The arguments and the environment of this process, as they were given to it.
    package static var variables: [String] {
        var found: [String] = []
        var entry = environ
        while let text = entry.pointee {
            found.append(String(cString: text))
            entry += 1
        }
        return found
    }
}

extension Descriptor {
    /// A pipe whose ends no other program gets; the reading end does not block.
    package static func pipe() throws(Errno) -> (reading: Int32, writing: Int32) {
        var ends: [Int32] = [-1, -1]
        _ = try check(Int(noria_pipe(&ends)))
        return (ends[0], ends[1])
    }

    /// Reads what is there: the count, 0 at the end, or a negative error.
    package static func readBytes(of fd: Int32, into bytes: UnsafeMutableRawBufferPointer) -> Int {
        let count = Glibc.read(fd, bytes.baseAddress, bytes.count)
        return count < 0 ? -Int(errno) : count
    }

    /// Writes what the descriptor takes in one call.
    package static func writeBytes(_ bytes: UnsafeRawBufferPointer, to fd: Int32) {
        _ = Glibc.write(fd, bytes.baseAddress, bytes.count)
    }
}
