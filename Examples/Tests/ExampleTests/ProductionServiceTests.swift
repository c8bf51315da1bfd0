// SPDX-License-Identifier: Apache-2.0
import Glibc
import Synchronization
import TestSupport
import Testing

@Suite("ProductionService does what its four comments say", .serialized)
struct ProductionServiceTests {
    @Test(
        "1 and 3: the policy is asserted in words, a copy that fails is an alert, debug is off",
        arguments: Backends.all
    )
    func policyAndHandler(backend: String) throws {
        let service = try Service(backend, copies: false, environment: ["NORIA_DEBUG": "1"])
        #expect(service.greeting.hasPrefix("policy: \(backend) runs; listening on "))
        let said = service.process.output.lines.filter { $0.contains("io_uring was required") }
        #expect(said.count == (backend == "io_uring" ? 0 : 1), "\(said)")
        #expect(said.allSatisfy { $0.contains("and \(backend) runs") }, "\(said)")
        let client = try BlockingClient(port: service.port)
        for (request, answer) in [
            ("PING", "PONG"), ("SAVE one", "SAVED"), ("PRIMES 100", "25"), ("PRIMES 2", "1"),
            ("PRIMES many", Self.usage), ("PRIMES 1000001", Self.usage), ("SAVE", Self.usage),
            ("SAVE two words", "SAVED"),
        ] {
            try client.say(request)
            #expect(try client.line() == answer, "\(request)")
        }
        try Waiting.until("both copies to fail") {
            service.process.output.lines.count { $0.hasPrefix("alert: ") } == 2
        } seen: {
            service.process.output.text
        }
        let alerts = service.process.output.lines.filter { $0.hasPrefix("alert: ") }
        for alert in alerts {
            #expect(alert.contains("'copy'") && alert.contains("No such file"), "\(alert)")
        }
        #expect(try service.ledger() == ["one", "two words"])
        try service.end()
        let errors = try service.process.errors.all()
        #expect(errors.contains("debug: off, by the code"), "\(errors)")
        #expect(errors.contains("exception handler: the program's own"), "\(errors)")
        try service.expectReport("SIGTERM", exitCode: 0, containing: ["\"reported\" : 2"])
    }

    private static let usage = "ERR: use PING, SAVE TEXT, or PRIMES N with N from 2 to 1000000"

    @Test("1: where a filter refuses io_uring epoll runs, and the reason is said")
    func refused() throws {
        guard try ChildProcess("/usr/bin/env", ["python3", "-c", ""]).waitForExit() == .code(0)
        else {
            return print("skipped: there is no python3 here to install the filter")
        }
        let folder = try TemporaryFolder()
        let program = "\(ChildProcess.productFolder)/ProductionService"
        let process = try ChildProcess(
            "/usr/bin/env",
            ["python3", "-c", Self.refusal, program, "127.0.0.1", "0", folder.path, folder.path]
        )
        try process.output.line(containing: "policy: epoll runs; listening on ")
        let said = try process.output.line(containing: "io_uring was required and epoll (io_uring")
        #expect(said.contains("seccomp") && said.contains("(EPERM)"), "\(said)")
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }

    /// Has io_uring_setup answered with EPERM, as containers have it, and becomes the program.
    private static let refusal = """
        import ctypes, os, struct, sys
        code = struct.pack("HBBI" * 4, 0x20, 0, 0, 0, 0x15, 0, 1, 425,
                           0x06, 0, 0, 0x00050001, 0x06, 0, 0, 0x7FFF0000)
        libc, text = ctypes.CDLL(None), ctypes.create_string_buffer(code)
        program = struct.pack("HxxxxxxQ", 4, ctypes.addressof(text))
        assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program) == 0
        os.execv(sys.argv[1], sys.argv[1:])
        """

    @Test("2: while a call blocks the loop answers others", arguments: Backends.all)
    func blocking(backend: String) throws {
        let service = try Service(backend)
        let saver = try BlockingClient(port: service.port)
        let lock = try service.lock()
        try saver.say("SAVE late")
        try service.waitForBlockedCall()
        let others = try (0..<20).map { _ in try BlockingClient(port: service.port) }
        for _ in 0..<10 {
            for other in others { try other.say("PING") }
            for other in others { #expect(try other.line() == "PONG") }
        }
        try others[0].say("PRIMES 1000")
        #expect(try others[0].line() == "168")
        #expect(try service.ledger() == [])
        #expect(!saver.isReadable(within: 0))
        close(lock)
        #expect(try saver.line() == "SAVED")
        #expect(try service.ledger() == ["late"])
        try service.end()
    }

    @Test(
        "4: SIGTERM under load: what was sent whole is answered and kept, the exit code is 0",
        arguments: Backends.all
    )
    func underLoad(backend: String) throws {
        let service = try Service(backend)
        let load = Load(port: service.port)
        PlainThreads.run(Load.clientCount + 1) { index in
            if index < Load.clientCount { load.run(index) } else { load.end(service.process) }
        }
        try service.process.expectExit(.code(0), seconds: 20)
        let tally = load.tally
        #expect(tally.faults == [])
        #expect(tally.answered >= Load.clientCount * Load.warmUpCount)
        #expect(tally.saved.count > Load.clientCount)
        #expect(try service.ledger().sorted() == tally.saved.sorted())
        try service.expectReport("SIGTERM", exitCode: 0, containing: ["\"abandoned\" : [\n\n  ]"])
        print("\(backend): \(tally.answered) answered, \(tally.saved.count) of them saved")
    }

    @Test("4: what never ends is abandoned at the deadline, with 70", arguments: Backends.all)
    func stuck(backend: String) throws {
        let service = try Service(backend, environment: ["NORIA_SHUTDOWN_DEADLINE": "2s"])
        let lock = try service.lock()
        defer { close(lock) }
        let (saver, other) = (
            try BlockingClient(port: service.port), try BlockingClient(port: service.port)
        )
        try saver.say("SAVE never")
        try service.waitForBlockedCall()
        try other.say("PING")
        #expect(try other.line() == "PONG")
        let began = ContinuousClock.now
        service.process.signal(SIGTERM)
        // Who waits for nothing is sent away at once.
        #expect(try other.receiveAll() == [])
        try service.process.expectExit(.code(70))
        let length = began.duration(to: .now)
        #expect(length >= .seconds(1.7) && length < .seconds(3), "\(length)")
        try service.expectReport("SIGTERM", exitCode: 70, containing: ["save"])
    }
}

/// The program, its folder, and the one lock that it waits for.
private final class Service: Sendable {
    let greeting: String
    private let example: Example
    private let folder: TemporaryFolder

    var process: ChildProcess { example.process }
    var port: Int { example.port }

    /// The code's own policy is to give io_uring.
    init(_ backend: String, copies: Bool = true, environment: [String: String] = [:]) throws {
        folder = try TemporaryFolder()
        let copyFolder = "\(folder.path)/copy"
        if copies { mkdir(copyFolder, 0o700) }
        let policy = backend == "io_uring" ? [:] : ["NORIA_BACKEND": backend]
        example = try Example(
            "ProductionService",
            ["127.0.0.1", "0", folder.path, copyFolder],
            environment: environment.merging(policy) { $1 }
        )
        greeting = try example.process.output.line(containing: "listening on")
    }

    private var path: String { "\(folder.path)/ledger.txt" }

    func ledger() throws -> [String] {
        try LeakCheck.text(of: path).split(separator: "\n").map(String.init)
    }

    /// Takes the ledger's lock; closing gives it back.
    func lock() throws -> Int32 {
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
            throw ChildProcess.Failure("no lock: \(String(cString: strerror(errno)))")
        }
        return file
    }

    /// Waits until the kernel has the process in the queue for the lock.
    func waitForBlockedCall() throws {
        try Waiting.until("a call to wait for the lock") {
            let locks = (try? LeakCheck.text(of: "/proc/locks")) ?? ""
            return locks.split(separator: "\n").contains { line in
                line.contains("-> FLOCK") && line.split(separator: " ").contains("\(process.pid)")
            }
        }
    }

    func end() throws { try example.end() }

    func expectReport(
        _ reason: String,
        exitCode: Int,
        containing parts: [String],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let report = try LeakCheck.text(of: "\(folder.path)/shutdown.json")
        for part in ["\"reason\" : \"\(reason)\"", "\"exitCode\" : \(exitCode)"] + parts {
            #expect(report.contains(part), "\(report)", sourceLocation: sourceLocation)
        }
    }
}

/// Clients that never stop by themselves: each sends a line, waits for its answer, sends another.
private final class Load: Sendable {
    static let clientCount = 64
    /// Answers that each client has had before the signal comes.
    static let warmUpCount = 9

    struct Tally {
        var answered = 0
        var saved: [String] = []
        var faults: [String] = []
    }

    private let port: Int
    private let atWork = Gate(count: clientCount)
    private let signalled = Atomic<Bool>(false)
    private let state = Mutex(Tally())
    var tally: Tally { state.withLock { $0 } }

    init(port: Int) { self.port = port }

    /// Sends SIGTERM when every client is at work.
    func end(_ process: ChildProcess) {
        do { try atWork.wait(for: "all clients to be at work") } catch { fault("\(error)") }
        signalled.store(true, ordering: .sequentiallyConsistent)
        process.signal(SIGTERM)
    }

    func run(_ index: Int) {
        var round = 0
        defer { if round < Self.warmUpCount { atWork.pass() } }
        do {
            let client = try BlockingClient(port: port)
            while try converse(client, "\(index) \(round)", round % 3) {
                round += 1
                if round == Self.warmUpCount { atWork.pass() }
            }
        } catch { fault("client \(index), round \(round): \(error)") }
    }

    /// One request; false when the connection has ended.
    private func converse(_ client: BlockingClient, _ text: String, _ kind: Int) throws -> Bool {
        let (request, expected) =
            switch kind {
            case 0: ("PING", "PONG")
            case 1: ("SAVE \(text)", "SAVED")
            default: ("PRIMES 1000", "168")
            }
        do { try client.say(request) } catch let error as BlockingClient.Failure
            where error.errno == EPIPE && signalled.load(ordering: .sequentiallyConsistent)
        {
            return false
        }
        // Sent whole before the signal: then there is no way but an answer.
        let wasSentBefore = !signalled.load(ordering: .sequentiallyConsistent)
        let answer = try client.line()
        guard answer == expected else {
            if wasSentBefore || !answer.isEmpty { fault("\(request): '\(answer)'") }
            return false
        }
        state.withLock {
            $0.answered += 1
            if kind == 1 { $0.saved.append(text) }
        }
        return true
    }

    private func fault(_ text: String) { state.withLock { $0.faults.append(text) } }
}
