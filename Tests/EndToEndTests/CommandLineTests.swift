// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@Suite("noria, started wrongly, says what to do")
struct CommandLineTests {
    private func run(
        _ arguments: [String],
        environment: [String: String] = [:]
    ) throws -> (exit: ChildProcess.Exit, errors: String) {
        let process = try ChildProcess("noria", arguments, environment: environment)
        let exit = try process.waitForExit()
        return (exit, try process.errors.all())
    }

    @Test("a port in use is named, with exit code 1")
    func portInUse() throws {
        let server = try EchoServer(Backends.all[0])
        let (exit, errors) = try run(["echo", "--port", "\(server.port)"])
        #expect(exit == .code(1))
        #expect(errors.contains("listen on 127.0.0.1:\(server.port): the address is in use"))
        #expect(errors.contains("EADDRINUSE"))
        #expect(try server.end() == .code(0))
    }

    @Test(
        "a host that is neither literal nor name is refused with what to write",
        arguments: ["1.2.3", "", "[::1]", "two words"]
    )
    func badHost(host: String) throws {
        let (exit, errors) = try run(["echo", "--host", host, "--port", "0"])
        #expect(exit == .code(1))
        #expect(errors.contains("IPv4 or IPv6 literal") || errors.contains("a name has letters"))
    }

    @Test("a name is looked up", arguments: Backends.all)
    func namedHost(backend: String) throws {
        let process = try ChildProcess(
            "noria",
            ["echo", "--host", "localhost", "--port", "0", "--backend", backend]
        )
        let line = try process.output.line(containing: "listening on")
        #expect(line.contains("127.0.0.1:") || line.contains("[::1]:"), "\(line)")
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }

    @Test("a port out of range is a usage error", arguments: ["70000", "65536", "-1"])
    func badPort(port: String) throws {
        let (exit, errors) = try run(["echo", "--port=\(port)"])
        #expect(exit == .code(64))
        #expect(errors.contains("'--port \(port)': from 0 to 65535"))
    }

    @Test("a flag stands over its variable, and the variable over the default")
    func flagOverVariable() throws {
        for (arguments, backend, loops) in [
            ([], "poll", 2), (["--backend", "epoll", "--loops", "1"], "epoll", 1),
        ] {
            let process = try ChildProcess(
                "noria",
                ["echo", "--port", "0"] + arguments,
                environment: ["NORIA_BACKEND": "poll", "NORIA_LOOPS": "2"]
            )
            let line = try process.output.line(containing: "listening")
            #expect(line.contains("backend=\(backend) loops=\(loops)"))
            process.signal(SIGTERM)
            try process.expectExit(.code(0))
        }
    }

    @Test("an unknown backend is a usage error that lists the known ones")
    func badBackend() throws {
        let (exit, errors) = try run(["echo", "--backend", "kqueue"])
        #expect(exit == .code(64))
        #expect(errors.contains("automatic, io_uring, epoll or poll"))
    }

    @Test("an unknown flag is a usage error")
    func badFlag() throws {
        let (exit, errors) = try run(["echo", "--frobnicate"])
        #expect(exit == .code(64))
        #expect(errors.contains("--frobnicate"))
    }

    @Test(
        "with hardly a descriptor it says so, or serves and ends at once",
        arguments: Backends.all
    )
    func hardlyADescriptor(backend: String) throws {
        for limit in 4...9 {
            let process = try ChildProcess(
                "/bin/sh",
                [
                    "-c",
                    "ulimit -n \(limit); exec \(ChildProcess.productFolder)/noria echo --port 0"
                        + " --backend \(backend)",
                ]
            )
            guard (try? process.output.line(containing: "listening on")) != nil else {
                let exit = try process.waitForExit()
                #expect(exit == .code(1) || exit == .code(78), "\(limit): \(exit)")
                let errors = try process.errors.all()
                #expect(errors.contains("ulimit -n") || errors.contains("EMFILE"), "\(errors)")
                continue
            }
            // A queue that is empty is emptied, though no descriptor is left to accept with: the
            // drain's budget would be 22 s, and the wait gives up after 10.
            process.signal(SIGTERM)
            #expect(try process.waitForExit() == .code(0), "\(limit)")
        }
    }

    @Test("a number of loops that nobody can have is refused")
    func loopsOutOfRange() throws {
        for count in ["0", "1025"] {
            let (exit, errors) = try run(["echo", "--loops", count])
            #expect(exit == .code(64))
            #expect(errors.contains("'--loops \(count)': from 1 to 1024"))
        }
    }

    @Test(
        "a variable of the environment that is no value ends it with 78 and its name",
        arguments: [
            ("NORIA_BACKEND", "nonsense"), ("NORIA_SHUTDOWN_DEADLINE", "3"),
            ("NORIA_JOBS_PER_TURN", "0"), ("NORIA_TIME_PER_TURN", "1 ms"),
            ("NORIA_COMPLETIONS_PER_TURN", "-1"),
        ]
    )
    func badVariable(name: String, value: String) throws {
        let (exit, errors) = try run(["echo", "--port", "0"], environment: [name: value])
        #expect(exit == .code(78))
        #expect(errors.contains("\(name)=\(value)"))
    }

    @Test("help names every option")
    func help() throws {
        let process = try ChildProcess("noria", ["echo", "--help"])
        try process.expectExit(.code(0))
        let text = try process.output.all()
        for option in ["--host", "--port", "--backend", "--loops"] {
            #expect(text.contains(option))
        }
    }
}
