// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

/// The numbers that a shutdown is held to, a tenth of them unless `NORIA_SHUTDOWN_FACTOR=10`; a time
/// is judged where `NORIA_SHUTDOWN_BARS` is set, as on a machine that does nothing else.
@Suite("A shutdown under numbers", .serialized)
struct ShutdownBarsTests {
    private static let factor = variable("NORIA_SHUTDOWN_FACTOR").flatMap { Int($0) } ?? 1
    private static let judgesTimes = variable("NORIA_SHUTDOWN_BARS") != nil

    private static func variable(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }
    }

    private func start(_ arguments: [String], _ backend: String) throws -> (ChildProcess, Int) {
        let process = try ChildProcess(
            "NoriaProbe",
            arguments,
            environment: ["NORIA_BACKEND": backend]
        )
        let line = try process.output.line(containing: "listening on ")
        return (process, line.split(separator: ":").last.flatMap { Int($0) } ?? 0)
    }

    /// The milliseconds that the process takes to end; `limit` is judged where times are.
    private func timeToEnd(
        _ process: ChildProcess,
        _ signal: Int32,
        _ exit: ChildProcess.Exit,
        limit: Int,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> Int {
        let begin = ContinuousClock.now
        process.signal(signal)
        let seen = try process.waitForExit(seconds: 30)
        let length = begin.duration(to: .now)
        let milliseconds = Int(length / .milliseconds(1))
        let errors = try process.errors.all().suffix(2000)
        #expect(seen == exit, "\(errors)", sourceLocation: sourceLocation)
        let allowed = Self.judgesTimes ? limit : 10_000
        #expect(milliseconds <= allowed, "\(errors)", sourceLocation: sourceLocation)
        return milliseconds
    }

    @Test(
        "waiting tasks and idle connections end within a second, whether or not the clients react",
        arguments: Backends.all,
        ["silent", "closing"]
    )
    func crowd(backend: String, manner: String) throws {
        let (tasks, connections) = (1000 * Self.factor, 500 * Self.factor)
        let (process, port) = try start(["crowd", "\(tasks)"], backend)
        let clients = try ChildProcess(
            "NoriaProbe",
            ["idle clients", "\(port)", "\(connections)", manner]
        )
        try clients.output.line(containing: "connected: \(connections)")
        let time = try timeToEnd(process, SIGTERM, .code(0), limit: 1000)
        print("\(backend): \(tasks) tasks, \(connections) \(manner) connections: \(time) ms")
        guard manner == "closing" else { return }
        // Each saw an end, none a reset.
        try clients.output.line(containing: "ended: \(connections)")
        try clients.expectExit(.code(0))
    }

    @Test(
        "plain tasks that are left behind are cancelled, and all counted",
        arguments: Backends.all
    )
    func leftBehind(backend: String) throws {
        let count = 1000 * Self.factor
        let (lines, errors) = try Probe.finished(
            "left behind",
            backend,
            arguments: ["\(count)"]
        )
        #expect(lines == ["cancelled: [\"\(count) plain tasks\"]", "alive: 0"], "\(errors)")
    }

    @Test(
        "a request whose second half comes after SIGTERM is answered whole, however it is read",
        arguments: Backends.all,
        ["exact", "line", "frame", "all", "pieces"]
    )
    func midRequest(backend: String, form: String) throws {
        let (process, port) = try start(["reading form", form, "127.0.0.1"], backend)
        let client = try BlockingClient(port: port)
        var request = [UInt8].pattern(1000).map { UInt8(ascii: "a") + $0 % 26 }
        request[999] = 10
        try client.send(Array(request[..<500]))
        process.signal(SIGTERM)
        try process.errors.line(containing: "shutdown: SIGTERM; draining")
        for byte in request[500..<510] { try client.send([byte]) }
        try client.send(Array(request[510...]))
        if form == "all" { client.endSending() }
        #expect(try client.receiveAll() == request)
        client.close()
        try process.expectExit(.code(0))
    }

    @Test(
        "a second signal ends a drain that waits for a peer which takes nothing, within 100 ms",
        arguments: Backends.all,
        [SIGTERM, SIGINT]
    )
    func secondSignal(backend: String, signal: Int32) throws {
        let server = try EchoServer(backend)
        let deaf = try server.connect(receiveBuffer: 4096)
        while try deaf.sendWithoutWaiting(.pattern(65_536)) > 0 {}
        server.process.signal(SIGTERM)
        try server.process.errors.line(containing: "shutdown: SIGTERM; draining")
        // The same number counts once within 200 ms; another is meant at once.
        let begin = ContinuousClock.now
        try Waiting.until("a second SIGTERM to be another") {
            signal != SIGTERM || begin.duration(to: .now) >= .milliseconds(300)
        }
        let time = try timeToEnd(server.process, signal, .signal(signal), limit: 100)
        print("\(backend): \(time) ms after the second signal, \(signal)")
        deaf.abort()
    }

    @Test(
        "after a shutdown no socket of the server's waits for anybody, and its port is free at once",
        arguments: Backends.all
    )
    func sockets(backend: String) throws {
        var port = 0
        for round in 0..<max(5, 2 * Self.factor) {
            let isIPv6 = round % 2 == 1
            let host = isIPv6 ? "::1" : "127.0.0.1"
            let (process, taken) = try start(["reading form", "line", host], backend)
            let clients = try (0..<(20 * Self.factor)).map { _ in
                try BlockingClient(port: taken, isIPv6: isIPv6)
            }
            for client in clients {
                try client.send(Array("x\n".utf8))
                #expect(try client.receive(exactly: 2).count == 2)
            }
            process.signal(SIGTERM)
            for client in clients {
                #expect(try client.receiveAll().isEmpty)
                client.close()
            }
            try process.expectExit(.code(0))
            let states = try Self.states(ofPort: taken)
            #expect(!states.isEmpty)
            try Waiting.until("no CLOSE_WAIT and no orphan") {
                (try? Self.states(ofPort: taken))?.allSatisfy { $0 == "06" } == true
            }
            let waiting = states.count { $0 == "06" }
            if round < 2 { print("\(backend): \(waiting) of \(host) in TIME_WAIT") }
            let again = try EchoServer(backend, port: taken, arguments: ["--host", host])
            #expect(again.port == taken)
            again.process.signal(SIGTERM)
            try again.process.expectExit(.code(0))
            port = taken
        }
        #expect(port > 0)
    }

    /// The states, in hexadecimal, of the sockets that have this local port.
    private static func states(ofPort port: Int) throws -> [String] {
        let hex = String(port, radix: 16, uppercase: true)
        let suffix = ":" + String(repeating: "0", count: 4 - hex.count) + hex
        return try ["/proc/net/tcp", "/proc/net/tcp6"]
            .flatMap { try LeakCheck.text(of: $0).split(separator: "\n").dropFirst() }
            .map { $0.split(separator: " ") }
            .filter { $0[1].hasSuffix(suffix) }.map { String($0[3]) }
    }
}
