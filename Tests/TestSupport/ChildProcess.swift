// SPDX-License-Identifier: Apache-2.0
package import Glibc
internal import Synchronization

/// A program of ours in a process of its own, watched by its pipes and its exit.
package final class ChildProcess: Sendable {
    package enum Exit: Equatable, Sendable {
        case code(Int32)
        case signal(Int32)
    }

    package struct Failure: Error, CustomStringConvertible {
        package let description: String
        package init(_ description: String) { self.description = description }
    }

    package let pid: pid_t
    package let output: PipeReader
    package let errors: PipeReader
    /// The end of standard error that nobody reads, and the one that can be written to; else -1.
    private let unread: (reading: Int32, writing: Int32)
    private let reaped = Mutex<Exit?>(nil)

    /// The folder that SwiftPM builds programs and test bundles into.
    package static var productFolder: String {
        var buffer = [CChar](repeating: 0, count: 4096)
        // The bundle is the running program itself under `swift test`.
        let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") }
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        let program = String(
            decoding: buffer.prefix(max(0, count)).map(UInt8.init(bitPattern:)),
            as: UTF8.self
        )
        let path = program.hasSuffix(".xctest") ? program : bundle ?? program
        return path.split(separator: "/", omittingEmptySubsequences: false).dropLast()
            .joined(separator: "/")
    }

    package init(
        _ program: String,
        _ arguments: [String],
        environment: [String: String] = [:],
        readsErrors: Bool = true,
        inheriting: [Int32] = []
    ) throws {
        let path = program.hasPrefix("/") ? program : "\(Self.productFolder)/\(program)"
        guard access(path, X_OK) == 0 else { throw Failure("no program at \(path)") }
        let started = try Self.spawning.withLock { _ in
            try Self.spawn(
                path,
                arguments,
                Self.inherited.merging(environment) { $1 },
                inheriting
            )
        }
        pid = started.pid
        output = PipeReader(started.output)
        errors = PipeReader(readsErrors ? started.errors : open("/dev/null", O_RDONLY | O_CLOEXEC))
        guard !readsErrors else {
            unread = (-1, -1)
            return
        }
        // Opened again by its name: a pipe's reading end gives a writing one.
        let writing = open("/proc/self/fd/\(started.errors)", O_WRONLY | O_CLOEXEC | O_NONBLOCK)
        unread = (started.errors, writing)
    }

    /// Fills standard error, which nobody reads.
    package func fillErrors() throws {
        let bytes = [UInt8](repeating: 0x2e, count: 4096)
        while write(unread.writing, bytes, bytes.count) > 0 {}
        // What is left is less than a page: byte by byte.
        while write(unread.writing, bytes, 1) > 0 {}
        guard errno == EAGAIN else {
            throw Failure("can't fill standard error: \(String(cString: strerror(errno)))")
        }
    }

    deinit {
        for descriptor in [unread.reading, unread.writing] where descriptor >= 0 {
            close(descriptor)
        }
        if reaped.withLock({ $0 }) == nil {
            kill(pid, SIGKILL)
            var status: Int32 = 0
            waitpid(pid, &status, 0)
        }
    }

    /// The variables of this process but those of Noria's, which would change what the child does.
    private static var inherited: [String: String] {
        var result: [String: String] = [:]
        var entry = environ
        while let text = entry.pointee {
            let parts = String(cString: text).split(separator: "=", maxSplits: 1)
            if parts.count == 2, !parts[0].hasPrefix("NORIA_") {
                result[String(parts[0])] = String(parts[1])
            }
            entry += 1
        }
        return result
    }

    /// Held while pipes are open that the child of another test would inherit.
    private static let spawning = Mutex(())

    private static func spawn(
        _ path: String,
        _ arguments: [String],
        _ variables: [String: String],
        _ inheriting: [Int32]
    ) throws -> (pid: pid_t, output: Int32, errors: Int32) {
        let output = try makePipe()
        let errors = try makePipe()
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output.writing, 1)
        posix_spawn_file_actions_adddup2(&actions, errors.writing, 2)
        // From copies far above, so that no source is overwritten before its turn.
        let copies = inheriting.map { fcntl($0, F_DUPFD_CLOEXEC, 100) }
        defer { for copy in copies { close(copy) } }
        for (index, copy) in copies.enumerated() {
            posix_spawn_file_actions_adddup2(&actions, copy, 3 + Int32(index))
        }
        var attributes = plainSignals()
        defer { posix_spawnattr_destroy(&attributes) }
        var argv = ([path] + arguments).map { strdup($0) } + [nil]
        var envp = variables.map { strdup("\($0)=\($1)") } + [nil]
        defer { for text in argv + envp { free(text) } }
        var pid: pid_t = 0
        let error = posix_spawn(&pid, path, &actions, &attributes, &argv, &envp)
        close(output.writing)
        close(errors.writing)
        guard error == 0 else {
            close(output.reading)
            close(errors.reading)
            throw Failure("can't start \(path): \(String(cString: strerror(error)))")
        }
        return (pid, output.reading, errors.reading)
    }

    /// No signal is blocked, none ignored: Dispatch's threads, on which tests run, block most.
    private static func plainSignals() -> posix_spawnattr_t {
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        let flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
        posix_spawnattr_setflags(&attributes, Int16(flags))
        return attributes
    }

    private static func makePipe() throws -> (reading: Int32, writing: Int32) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else {
            throw Failure("no pipe: \(String(cString: strerror(errno)))")
        }
        // The pipes, and whatever the one who started the tests left open, are not the child's.
        for name in LeakCheck.entries(of: "/proc/self/fd") {
            guard let fd = Int32(name), fd > 2 else { continue }
            _ = fcntl(fd, F_SETFD, FD_CLOEXEC)
        }
        return (ends[0], ends[1])
    }

    /// Sends a signal, unless the process was waited for: its number may be another's then.
    package func signal(_ number: Int32) {
        reaped.withLock { exit in
            if exit == nil { kill(pid, number) }
        }
    }

    /// Waits for the end, ten seconds at most.
    @discardableResult
    package func waitForExit(seconds: Int = 10) throws -> Exit {
        try Waiting.until("the process to end", seconds: seconds) {
            hasExited()
        } seen: {
            "still there: \(LeakCheck(of: pid)); it said: \(output.text) \(errors.text)"
        }
        guard let exit = reaped.withLock({ $0 }) else { preconditionFailure("waited for above") }
        return exit
    }

    /// Waits for the end, and throws with what the process said when it is another.
    package func expectExit(_ expected: Exit, seconds: Int = 10) throws {
        let exit = try waitForExit(seconds: seconds)
        guard exit != expected else { return }
        throw Failure("ended by \(exit), not \(expected); it said: \(output.text) \(errors.text)")
    }

    private func hasExited() -> Bool {
        reaped.withLock { exit in
            guard exit == nil else { return true }
            var status: Int32 = 0
            guard waitpid(pid, &status, WNOHANG) == pid else { return false }
            exit = status & 0x7f == 0 ? .code(status >> 8 & 0xff) : .signal(status & 0x7f)
            return true
        }
    }

    /// The numbers of its open descriptors.
    package var descriptorCount: Int { Self.entryCount("/proc/\(pid)/fd") }
    /// Its threads.
    package var threadCount: Int { Self.entryCount("/proc/\(pid)/task") }

    package static func entryCount(_ path: String) -> Int {
        guard let folder = opendir(path) else { return 0 }
        defer { closedir(folder) }
        var count = 0
        while let entry = readdir(folder) {
            if entry.pointee.d_name.0 != 0x2e { count += 1 }
        }
        return count
    }
}

/// Reads a pipe on a thread of its own, so that whoever writes never waits.
package final class PipeReader: Sendable {
    private let state = Mutex((bytes: [UInt8](), isAtEnd: false))

    init(_ descriptor: Int32) {
        var thread = pthread_t()
        let box = Unmanaged.passRetained(Box(self, descriptor))
        pthread_create(
            &thread,
            nil,
            {
                if let box = $0 { Unmanaged<Box>.fromOpaque(box).takeRetainedValue().read() }
                return nil
            },
            box.toOpaque()
        )
        pthread_detach(thread)
    }

    private final class Box {
        let reader: PipeReader
        let descriptor: Int32
        init(_ reader: PipeReader, _ descriptor: Int32) {
            self.reader = reader
            self.descriptor = descriptor
        }

        func read() {
            var buffer = [UInt8](repeating: 0, count: 4096)
            while true {
                let count = Glibc.read(descriptor, &buffer, buffer.count)
                guard count > 0 else { break }
                reader.state.withLock { $0.bytes += buffer[..<count] }
            }
            close(descriptor)
            reader.state.withLock { $0.isAtEnd = true }
        }
    }

    package var text: String {
        state.withLock { String(decoding: $0.bytes, as: UTF8.self) }
    }

    package var lines: [String] { text.split(separator: "\n").map(String.init) }

    /// Waits until a whole line holds `part`, ten seconds at most.
    @discardableResult
    package func line(containing part: String) throws -> String {
        var found: String?
        var isAtEnd = false
        try wait("a line with '\(part)'") {
            // First the end, then the text: what came before the end is looked at.
            isAtEnd = state.withLock { $0.isAtEnd }
            let ended = text.hasSuffix("\n") ? lines : lines.dropLast()
            found = ended.first { $0.contains(part) }
            return found != nil || isAtEnd
        }
        guard let found else {
            throw ChildProcess.Failure("no line with '\(part)' before the end of: \(text)")
        }
        return found
    }

    /// Waits for the end of the pipe and gives all that came.
    package func all() throws -> String {
        try wait("the end of the output") { state.withLock { $0.isAtEnd } }
        return text
    }

    private func wait(_ what: String, _ condition: () -> Bool) throws {
        try Waiting.until(what, condition, seen: { text })
    }
}

/// Waits for another process to have done something: looks every few milliseconds.
package enum Waiting {
    package static func until(
        _ what: String,
        seconds: Int = 10,
        _ condition: () -> Bool,
        seen: () -> String = { "" }
    ) throws {
        for _ in 0..<seconds * 500 {
            if condition() { return }
            usleep(2000)
        }
        throw ChildProcess.Failure("waited \(seconds) s for \(what); saw: \(seen())")
    }
}
