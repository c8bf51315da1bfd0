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
        environment: [String: String] = [:]
    ) throws {
        let path = program.hasPrefix("/") ? program : "\(Self.productFolder)/\(program)"
        guard access(path, X_OK) == 0 else { throw Failure("no program at \(path)") }
        let (outputRead, outputWrite) = try Self.makePipe()
        let (errorRead, errorWrite) = try Self.makePipe()
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, outputWrite, 1)
        posix_spawn_file_actions_adddup2(&actions, errorWrite, 2)
        var variables = Self.environment
        variables["NORIA_BACKEND"] = nil
        for (name, value) in environment { variables[name] = value }
        var argv = ([path] + arguments).map { strdup($0) } + [nil]
        var envp = variables.map { strdup("\($0)=\($1)") } + [nil]
        defer {
            for pointer in argv + envp { free(pointer) }
        }
        var pid: pid_t = 0
        let error = posix_spawn(&pid, path, &actions, nil, &argv, &envp)
        close(outputWrite)
        close(errorWrite)
        guard error == 0 else { throw Failure("can't start \(path): error \(error)") }
        self.pid = pid
        output = PipeReader(outputRead)
        errors = PipeReader(errorRead)
    }

    deinit {
        if reaped.withLock({ $0 }) == nil {
            kill(pid, SIGKILL)
            var status: Int32 = 0
            waitpid(pid, &status, 0)
        }
    }

    private static var environment: [String: String] {
        var result: [String: String] = [:]
        var entry = environ
        while let text = entry.pointee {
            let parts = String(cString: text).split(separator: "=", maxSplits: 1)
            if parts.count == 2 { result[String(parts[0])] = String(parts[1]) }
            entry += 1
        }
        return result
    }

    private static func makePipe() throws -> (Int32, Int32) {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw Failure("no pipe: error \(errno)") }
        // Not atomic with a spawn of another test; a child that inherits one only holds it open.
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    package func signal(_ number: Int32) { kill(pid, number) }

    /// Waits for the end, ten seconds at most.
    package func waitForExit() throws -> Exit {
        if let exit = reaped.withLock({ $0 }) { return exit }
        var status: Int32 = 0
        try Waiting.until("the process to end") {
            waitpid(pid, &status, WNOHANG) == pid
        } seen: {
            "\(output.text) \(errors.text)"
        }
        let exit: Exit =
            status & 0x7f == 0 ? .code((status >> 8) & 0xff) : .signal(status & 0x7f)
        reaped.withLock { $0 = exit }
        return exit
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
        try wait("a line with '\(part)'") {
            let ended = text.hasSuffix("\n") ? lines : lines.dropLast()
            found = ended.first { $0.contains(part) }
            return found != nil
        }
        return found ?? ""
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

/// Waits for another process to have done something: looks every few milliseconds, ten seconds.
package enum Waiting {
    package static func until(
        _ what: String,
        _ condition: () -> Bool,
        seen: () -> String = { "" }
    ) throws {
        for _ in 0..<5000 {
            if condition() { return }
            usleep(2000)
        }
        throw ChildProcess.Failure("waited 10 s for \(what); saw: \(seen())")
    }
}
