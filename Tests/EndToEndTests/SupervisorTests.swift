// SPDX-License-Identifier: Apache-2.0
import Glibc
import Synchronization
import TestSupport
import Testing

@Suite("A service manager is told what it wants to know, and keeps what it is given", .serialized)
struct SupervisorTests {
    /// Restarts of one service: `Scripts/long` asks for more.
    private static let restartCount = getenv("NORIA_SHUTDOWN_FACTOR") == nil ? 4 : 20

    private func start(
        _ arguments: [String],
        _ backend: String,
        _ manager: NotifySocket?,
        loops: Int = 1,
        environment: [String: String] = [:],
        inheriting: [(name: String, descriptor: Int32)] = []
    ) throws -> ChildProcess {
        var variables = ["NORIA_BACKEND": backend, "NORIA_LOOPS": "\(loops)"]
        variables["NOTIFY_SOCKET"] = manager?.path
        variables.merge(environment) { $1 }
        let program = "\(ChildProcess.productFolder)/NoriaProbe"
        guard !inheriting.isEmpty else {
            return try ChildProcess(
                program,
                ["supervised"] + arguments,
                environment: variables
            )
        }
        variables["LISTEN_FDS"] = "\(inheriting.count)"
        variables["LISTEN_FDNAMES"] = inheriting.map(\.name).joined(separator: ":")
        return try ChildProcess(
            "/bin/sh",
            ["-c", "LISTEN_PID=$$ exec \"$0\" \"$@\"", program, "supervised"] + arguments,
            environment: variables,
            inheriting: inheriting.map(\.descriptor)
        )
    }

    private func port(_ process: ChildProcess) throws -> Int {
        let line = try process.output.line(containing: "listening on ")
        return Int(line.drop { $0 != ":" }.dropFirst().prefix { $0.isNumber }) ?? 0
    }

    @Test(
        "ready when a listener is served and nothing speaks against it, stopping with its time",
        arguments: Backends.all
    )
    func ready(backend: String) throws {
        let manager = try NotifySocket()
        let process = try start(["slow start"], backend, manager)
        _ = try port(process)
        #expect(!manager.hasMessage(within: 50))
        process.signal(SIGUSR2)
        #expect(try manager.receive().lines == ["READY=1"])
        process.signal(SIGUSR2)
        process.signal(SIGTERM)
        #expect(
            try manager.receive().lines == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=26000000"]
        )
        try process.expectExit(.code(0))
        #expect(!manager.hasMessage(within: 0))
    }

    @Test(
        "a cache that is warm before there is a listener makes nobody ready",
        arguments: Backends.all
    )
    func warmBefore(backend: String) throws {
        let manager = try NotifySocket()
        let process = try start(["warm before"], backend, manager)
        try process.output.line(containing: "warm")
        #expect(!manager.hasMessage(within: 50))
        process.signal(SIGUSR2)
        #expect(try manager.receive().lines == ["READY=1"])
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }

    @Test("a program without a listener says itself that it is ready")
    func withoutListener() throws {
        let manager = try NotifySocket()
        let process = try start(["no listener"], Backends.all[0], manager)
        #expect(try manager.receive().lines == ["READY=1"])
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }

    @Test("a reload is told at its begin and its end", arguments: Backends.all)
    func reload(backend: String) throws {
        let manager = try NotifySocket()
        let process = try start(["reload"], backend, manager)
        #expect(try manager.receive().lines == ["READY=1"])
        process.signal(SIGHUP)
        let lines = try manager.receive().lines
        #expect(lines.first == "RELOADING=1")
        let moment = lines.last?.split(separator: "=").last.flatMap { UInt64($0) } ?? 0
        #expect(lines.last?.hasPrefix("MONOTONIC_USEC=") == true && moment > 0)
        #expect(try manager.receive().lines == ["READY=1"])
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }

    @Test(
        "the watchdog is fed while all loops turn, and not when one is blocked",
        arguments: Backends.all,
        [1, 2]
    )
    func watchdog(backend: String, loops: Int) throws {
        let manager = try NotifySocket()
        let environment = ["WATCHDOG_USEC": "40000", "NORIA_SHUTDOWN_DEADLINE": "500ms"]
        let process = try start(
            ["blocked"],
            backend,
            manager,
            loops: loops,
            environment: environment
        )
        var fed = 0
        while fed < 5 { if try manager.receive().lines == ["WATCHDOG=1"] { fed += 1 } }
        process.signal(SIGUSR2)
        // What was under way comes still; then nothing, for much longer than twenty milliseconds.
        try Waiting.until("no more food") {
            guard manager.hasMessage(within: 300) else { return true }
            _ = try? manager.receive()
            return false
        }
        process.signal(SIGTERM)
        try process.expectExit(.code(70))
    }

    @Test("a watchdog meant for another process is not fed")
    func othersWatchdog() throws {
        let manager = try NotifySocket()
        let environment = ["WATCHDOG_USEC": "10000", "WATCHDOG_PID": "1"]
        let process = try start(["reload"], Backends.all[0], manager, environment: environment)
        #expect(try manager.receive().lines == ["READY=1"])
        #expect(!manager.hasMessage(within: 100))
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }

    @Test("a manager that is not there is an error in the log, and no more")
    func nobody() throws {
        for (name, text) in [("/nobody/there", "could not be told"), ("here", "neither a path")] {
            let environment = ["NOTIFY_SOCKET": name]
            let process = try start(["reload"], Backends.all[0], nil, environment: environment)
            _ = try port(process)
            process.signal(SIGTERM)
            try process.expectExit(.code(0))
            #expect(try process.errors.all().contains(text))
        }
    }

    @Test("a manager whose queue is full is told when it has room", arguments: Backends.all)
    func fullQueue(backend: String) throws {
        let manager = try NotifySocket()
        let count = manager.fill()
        #expect(count > 0)
        let process = try start(["reload"], backend, manager)
        _ = try port(process)
        for _ in 0..<count { #expect(try manager.receive().lines == ["FULL=1"]) }
        #expect(try manager.receive().lines == ["READY=1"])
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
        #expect(try !process.errors.all().contains("could not be told"))
    }

    @Test("of a port and a path with one name each listener takes its own", arguments: Backends.all)
    func families(backend: String) throws {
        let folder = try TemporaryFolder()
        let path = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { close(path) }
        #expect(BlockingListener.bind(path, to: "\(folder.path)/socket") == 0)
        #expect(listen(path, 10) == 0)
        let listening = try Listening()
        let process = try start(
            ["inherited", "web"],
            backend,
            nil,
            inheriting: [("web", path), ("web", listening.fd)]
        )
        #expect(try port(process) == listening.port)
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }

    @Test("what is no listening TCP socket is refused by name", arguments: Backends.all)
    func wrongDescriptor(backend: String) throws {
        let manager = try NotifySocket()
        let file = open("/dev/null", O_RDONLY | O_CLOEXEC)
        defer { close(file) }
        let process = try start(
            ["inherited", "web"],
            backend,
            manager,
            inheriting: [("web", file)]
        )
        try process.expectExit(.code(1))
        let errors = try process.errors.all()
        #expect(errors.contains("take over the descriptor 'web'"), "\(errors)")
        #expect(errors.contains("must be a listening TCP stream socket"), "\(errors)")
        let other = try start(["inherited", "web"], backend, manager)
        #expect(try other.output.line(containing: "nothing of that name") != "")
        try other.expectExit(.code(0))
    }

    @Test(
        "a service on an inherited socket is restarted under load, one after or beside the other",
        arguments: Backends.all,
        [false, true]
    )
    func restart(backend: String, overlaps: Bool) throws {
        let listening = try Listening()
        let manager = try NotifySocket()
        try restartUnderLoad(port: listening.port, rounds: Self.restartCount, overlaps: overlaps) {
            number in
            try start(
                ["inherited", "web"],
                backend,
                manager,
                loops: 1 + number % 2,
                inheriting: [("web", listening.fd)]
            )
        }
    }

    @Test("the same with a socket that the first has stored", arguments: Backends.all, [1, 2])
    func stored(backend: String, loops: Int) throws {
        let manager = try NotifySocket()
        let first = try start(["stored", "web"], backend, manager, loops: loops)
        var kept: [(name: String, descriptor: Int32)] = []
        while kept.count < loops {
            let message = try manager.receive()
            guard message.lines == ["FDSTORE=1", "FDNAME=web"] else { continue }
            let descriptor = try #require(message.descriptor)
            kept.append(("web", descriptor))
        }
        defer { for (_, descriptor) in kept { close(descriptor) } }
        let port = try port(first)
        let sockets = kept
        try restartUnderLoad(port: port, rounds: Self.restartCount, overlaps: false, first: first) {
            _ in
            try start(["stored", "web"], backend, manager, loops: loops, inheriting: sockets)
        }
    }

    /// Clients with one request a connection, while one process follows another: all are answered.
    private func restartUnderLoad(
        port: Int,
        rounds: Int,
        overlaps: Bool,
        first: ChildProcess? = nil,
        _ start: @escaping @Sendable (Int) throws -> ChildProcess
    ) throws {
        let load = OneShots(port: port)
        let begin = try first ?? start(0)
        if first == nil { _ = try self.port(begin) }
        let last = Locked(begin)
        PlainThreads.run(9) { index in
            guard index == 0 else { return load.run() }
            defer { load.end() }
            do {
                var present = begin
                for round in 1...rounds {
                    try load.waitForMore(100)
                    var next: ChildProcess?
                    if overlaps {
                        next = try start(round)
                        if let next { _ = try self.port(next) }
                    }
                    present.signal(SIGTERM)
                    try present.expectExit(.code(0))
                    // Else nobody is there for a while: who connects waits in the kernel.
                    present = try next ?? start(round)
                    if !overlaps { _ = try self.port(present) }
                }
                try load.waitForMore(100)
                last.withLock { [present] in $0 = present }
            } catch { load.note("\(error)") }
        }
        // Nobody comes after this one: the clients had to be answered first.
        let process = last.withLock { $0 }
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
        #expect(load.faults == [])
        #expect(load.processCount == rounds + 1)
    }

    /// A socket as a socket unit makes it.
    private final class Listening: Sendable {
        let fd: Int32
        let port: Int

        init() throws {
            let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            var size = socklen_t(MemoryLayout<sockaddr_in>.size)
            let isThere = withUnsafeMutablePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(fd, $0, size) == 0 && listen(fd, 512) == 0
                        && getsockname(fd, $0, &size) == 0
                }
            }
            guard isThere else { throw ChildProcess.Failure("can't listen") }
            self.fd = fd
            port = Int(UInt16(bigEndian: address.sin_port))
        }

        deinit { close(fd) }
    }
}

/// One request a connection, again and again.
private final class OneShots: Sendable {
    private let port: Int
    private let state = Mutex(
        (answers: 0, faults: [String](), processes: Set<String>(), isOver: false)
    )

    init(port: Int) { self.port = port }

    var faults: [String] { state.withLock { $0.faults } }
    var processCount: Int { state.withLock { $0.processes.count } }
    func end() { state.withLock { $0.isOver = true } }
    func note(_ fault: String) { state.withLock { $0.faults.append(fault) } }

    func waitForMore(_ count: Int) throws {
        let before = state.withLock { $0.answers }
        try Waiting.until("\(count) more answers") {
            state.withLock { $0.answers >= before + count || !$0.faults.isEmpty }
        }
    }

    func run() {
        var number = 0
        while !state.withLock({ $0.isOver }) {
            number += 1
            do {
                let client = try BlockingClient(port: port)
                defer { client.close() }
                try client.send(Array("\(number)\n".utf8))
                let answer = String(decoding: try client.receiveAll(), as: UTF8.self)
                let words = answer.split(separator: " ")
                state.withLock { state in
                    if words.count == 3, words[0] == "\(number)" {
                        state.answers += 1
                        state.processes.insert(String(words[2]))
                    } else {
                        state.faults.append("answered '\(answer)'")
                    }
                }
            } catch { state.withLock { $0.faults.append("\(error)") } }
        }
    }
}
