// SPDX-License-Identifier: Apache-2.0
#if GRPC
import Glibc
import TestSupport
import Testing

/// A gRPC service behind Noria's loops, with clients of gRPC's own: in Python, and gRPC Swift's.
@Suite("gRPC on Noria's loops", .serialized)
struct GRPCTests {
    private static let backends = ["io_uring", "epoll", "poll"]

    private func start(
        _ arguments: [String],
        _ backend: String,
        loops: Int = 1
    ) throws -> (process: ChildProcess, port: Int) {
        try RealProgram.start(arguments, backend, loops: loops, program: "NoriaGRPCProbe")
    }

    /// What the client's last line is expected to be; a client that is not there is skipped.
    private func expectOfClient(_ arguments: [String], _ expected: String) throws {
        let output =
            try RealProgram.output("env", ["python3", "-c", GRPCScript.text] + arguments) ?? ""
        if output.hasPrefix("skipped") { return print(output) }
        #expect(output == expected + "\n", "\(arguments): \(output)")
    }

    @Test(
        "all four kinds of calls, 4 MiB, a deadline and cancelled calls, plain and by TLS",
        arguments: backends
    )
    func kinds(backend: String) throws {
        let folder = try TemporaryFolder()
        guard let paths = try RealProgram.certificate(in: folder, name: "localhost") else { return }
        for certificate in [[], paths] {
            let (process, port) = try start(["noria"] + certificate, backend)
            try expectOfClient(
                ["127.0.0.1:\(port)", "kinds"] + certificate.prefix(1),
                "all answered"
            )
            process.signal(SIGTERM)
            try process.expectExit(.code(0))
        }
    }

    @Test("10,000 calls, 50 at a time", arguments: zip(backends, [2, 1, 2]))
    func many(backend: String, loops: Int) throws {
        let (process, port) = try start(["noria"], backend, loops: loops)
        try expectOfClient(["127.0.0.1:\(port)", "many"], "10000 calls, faults []")
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }

    @Test("gRPC Swift's own client has all of that, too", arguments: backends)
    func ownClient(backend: String) throws {
        let (process, port) = try start(["noria"], backend)
        let client = try ChildProcess("NoriaGRPCProbe", ["client", "\(port)"])
        let exit = try client.waitForExit(seconds: 120)
        let output = try client.output.all()
        #expect(exit == .code(0) && output == "all answered\n", "\(output)")
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }

    @Test("calls run on the loop of their connection, and stay there", arguments: backends)
    func loops(backend: String) throws {
        let (process, port) = try start(["noria"], backend, loops: 2)
        try expectOfClient(["127.0.0.1:\(port)", "loops"], "loops 2")
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }

    @Test("a server at a path", arguments: backends)
    func unix(backend: String) throws {
        let folder = try TemporaryFolder()
        let path = "\(folder.path)/socket"
        let process = try ChildProcess(
            "NoriaGRPCProbe",
            ["unix", path],
            environment: ["NORIA_BACKEND": backend]
        )
        try process.output.line(containing: "listening on ")
        try expectOfClient(["unix:\(path)", "kinds"], "all answered")
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }

    @Test(
        "SIGTERM: calls in flight are answered, alone and as a service of the runtime's",
        arguments: backends,
        ["noria", "service"]
    )
    func inFlight(backend: String, kind: String) throws {
        let (process, port) = try start([kind], backend)
        let client = try ChildProcess(
            "/usr/bin/env",
            ["python3", "-c", GRPCScript.text, "127.0.0.1:\(port)", "flight"]
        )
        let first = try client.output.line(containing: "")
        process.signal(SIGTERM)
        if first.hasPrefix("skipped") {
            print(first)
        } else {
            #expect(first == "under way")
            let line = try client.output.line(containing: "faults")
            #expect(line == "slow 40 streams 4 faults []", "\(line)")
        }
        try client.expectExit(.code(0))
        let exit = try process.waitForExit()
        let errors = try process.errors.all()
        #expect(exit == .code(0), "\(errors)")
    }

    @Test("a client that vanishes leaves nothing behind", arguments: backends)
    func vanishes(backend: String) throws {
        let (process, port) = try start(["noria"], backend)
        let before = process.descriptorCount
        let client = try ChildProcess(
            "/usr/bin/env",
            ["python3", "-c", GRPCScript.text, "127.0.0.1:\(port)", "vanish"]
        )
        let first = try client.output.line(containing: "")
        if first == "under way" { #expect(process.descriptorCount > before) }
        client.signal(SIGKILL)
        try Waiting.until("the connection is gone") { process.descriptorCount <= before }
        // Nobody waits for its calls.
        process.signal(SIGTERM)
        try process.expectExit(.code(0), seconds: 5)
        #expect(!(try process.errors.all().contains("left: 1 connection")))
    }
}
#endif
