// SPDX-License-Identifier: Apache-2.0
#if Hummingbird
import Glibc
import NoriaSystem
import TestSupport
import Testing

/// HTTP/2 of Hummingbird's, by TLS and without, each with clients of somebody else's.
@Suite("Hummingbird's HTTP/2 on Noria's loops", .serialized)
struct HummingbirdHTTP2Tests {
    private static let backends = ["io_uring", "epoll", "poll"]

    private func start(
        _ certificate: [String],
        _ backend: String,
        loops: Int = 1,
        environment: [String: String] = [:]
    ) throws -> (process: ChildProcess, port: Int) {
        try RealProgram.start(
            ["http2"] + certificate,
            backend,
            loops: loops,
            program: "NoriaHummingbirdProbe",
            environment: environment
        )
    }

    @Test(
        "curl is answered in the version that it asks for, and 8 MiB come and go whole",
        arguments: backends,
        [
            ("--http2", "https", "2"), ("--http1.1", "https", "1.1"),
            ("--http2-prior-knowledge", "http", "2"),
        ]
    )
    func curl(backend: String, client: (option: String, scheme: String, version: String)) throws {
        let folder = try TemporaryFolder()
        guard let paths = try RealProgram.certificate(in: folder, name: "localhost") else { return }
        let (process, port) = try start(client.scheme == "https" ? paths : [], backend)
        let base = "\(client.scheme)://127.0.0.1:\(port)"
        let options = ["-sS", client.option, "--cacert", paths[0]]
        guard
            let hello = try RealProgram.output(
                "curl",
                options + ["-i", "-w", " by HTTP/%{http_version}", "\(base)/"]
            )
        else { return }
        #expect(hello.hasSuffix("hello by HTTP/\(client.version)"), "\(hello)")
        let head = hello.lowercased()
        #expect(head.contains("server: probe\r\n") && head.contains(" gmt\r\n"), "\(hello)")
        let count = 8 << 20
        let file = "\(folder.path)/body"
        _ = try RealProgram.output("curl", options + ["-o", file, "\(base)/bytes/\(count)"])
        let received = RealProgram.bytes(of: file)
        #expect(received.count == count)
        #expect(received.indices.allSatisfy { received[$0] == UInt8($0 % 251) })
        let sum = received.reduce(UInt32(0)) { $0 &* 31 &+ UInt32($1) }
        let posted = try RealProgram.output(
            "curl",
            options + ["--data-binary", "@\(file)", "-H", "Expect:", "\(base)/count"]
        )
        #expect(posted == "\(count) \(sum)\n")
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }

    @Test("h2load has each of 5,000 streams answered", arguments: backends, [1, 2])
    func manyStreams(backend: String, loops: Int) throws {
        let folder = try TemporaryFolder()
        guard let paths = try RealProgram.certificate(in: folder, name: "localhost") else { return }
        let (process, port) = try start(paths, backend, loops: loops)
        let report = try RealProgram.output(
            "h2load",
            ["-n5000", "-c8", "-m50", "https://127.0.0.1:\(port)/"]
        )
        if let report {
            #expect(report.contains("5000 succeeded, 0 failed, 0 errored"), "\(report)")
        }
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }

    /// A client of frames, and what it does.
    private func client(
        _ arguments: [String],
        _ port: Int,
        isSecure: Bool
    ) throws -> ChildProcess {
        try ChildProcess(
            "/usr/bin/env",
            ["python3", "-c", HTTP2Script.text, "\(port)", isSecure ? "tls" : "plain"] + arguments
        )
    }

    @Test(
        "a head that does not come in time ends its connection, and no other",
        arguments: backends,
        [true, false]
    )
    func headerTimeout(backend: String, isSecure: Bool) throws {
        let folder = try TemporaryFolder()
        guard let paths = try RealProgram.certificate(in: folder, name: "localhost") else { return }
        let (process, port) = try start(
            isSecure ? paths : [],
            backend,
            environment: ["HEADER_TIMEOUT_MS": "1500"]
        )
        let slow = try client(["slow"], port, isSecure: isSecure)
        try slow.output.line(containing: "all slow ones ended")
        try slow.output.line(containing: "answered 3 refused 0 faults []")
        try slow.expectExit(.code(0))
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }

    @Test("a connection without streams ends after its idle time", arguments: backends)
    func idle(backend: String) throws {
        let folder = try TemporaryFolder()
        guard let paths = try RealProgram.certificate(in: folder, name: "localhost") else { return }
        let (process, port) = try start(paths, backend, environment: ["IDLE_TIMEOUT_MS": "300"])
        let idle = try client(["idle"], port, isSecure: true)
        try idle.output.line(containing: "ended within time 1")
        try idle.output.line(containing: "answered 1 refused 0 faults []")
        try idle.expectExit(.code(0))
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }

    @Test(
        "SIGTERM under load: each stream is answered, and none is refused",
        arguments: backends,
        [(true, 1), (true, 2), (false, 1)]
    )
    func underLoad(backend: String, setting: (isSecure: Bool, loops: Int)) throws {
        let folder = try TemporaryFolder()
        guard let paths = try RealProgram.certificate(in: folder, name: "localhost") else { return }
        let certificate = setting.isSecure ? paths : []
        let (process, port) = try start(certificate, backend, loops: setting.loops)
        let load = try client(["load"], port, isSecure: setting.isSecure)
        try load.output.line(containing: "under load")
        process.signal(SIGTERM)
        let line = try load.output.line(containing: "answered")
        #expect(line.hasSuffix("refused 0 faults []"), "\(line)")
        let answered = line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        #expect(answered >= 1000, "\(line)")
        try load.expectExit(.code(0))
        try process.expectExit(.code(0))
    }

    @Test("SIGTERM: streams in flight are answered, and the process ends", arguments: backends)
    func inFlight(backend: String) throws {
        let folder = try TemporaryFolder()
        guard let paths = try RealProgram.certificate(in: folder, name: "localhost") else { return }
        let (process, port) = try start(paths, backend)
        let flight = try client(["flight"], port, isSecure: true)
        try flight.output.line(containing: "under way")
        process.signal(SIGTERM)
        try flight.output.line(containing: "answered 33 refused 0 faults []")
        try flight.expectExit(.code(0))
        try process.expectExit(.code(0))
    }

    @Test(
        "SIGTERM in the middle of a handshake: it is finished, and its connection ends then",
        arguments: backends
    )
    func inHandshake(backend: String) throws {
        let folder = try TemporaryFolder()
        guard let paths = try RealProgram.certificate(in: folder, name: "localhost") else { return }
        let (process, port) = try start(paths, backend)
        let late = try client(["handshake", "\(folder.path)/go"], port, isSecure: true)
        try late.output.line(containing: "connected")
        process.signal(SIGTERM)
        try process.errors.line(containing: "draining")
        try SystemFile.write("", to: "\(folder.path)/go")
        let line = try late.output.line(containing: "answered")
        #expect(line == "answered 1 refused 0 faults []", "\(line)")
        try late.expectExit(.code(0))
        try process.expectExit(.code(0))
    }
}
#endif
