// SPDX-License-Identifier: Apache-2.0
#if Hummingbird
import Glibc
import NoriaHummingbird
import TestSupport
import Testing

/// A user's router, middleware and context, unchanged, behind Noria's server.
@Suite("Hummingbird on Noria's loops", .serialized)
struct HummingbirdTests {
    private static let backends = ["io_uring", "epoll", "poll"]

    private func start(
        _ arguments: [String],
        _ backend: String,
        loops: Int = 1,
        environment: [String: String] = [:]
    ) throws -> (process: ChildProcess, port: Int) {
        try RealProgram.start(
            arguments,
            backend,
            loops: loops,
            program: "NoriaHummingbirdProbe",
            environment: environment
        )
    }

    @Test("curl is answered, plain and by TLS, and 8 MiB come and go whole", arguments: backends)
    func curl(backend: String) throws {
        let folder = try TemporaryFolder()
        guard let paths = try RealProgram.certificate(in: folder, name: "localhost") else { return }
        for certificate in [[], paths] {
            let (process, port) = try start(["noria"] + certificate, backend)
            let base = "\(certificate.isEmpty ? "http" : "https")://127.0.0.1:\(port)"
            let options = ["-sS", "--cacert", paths[0]]
            guard let hello = try RealProgram.output("curl", options + ["-i", "\(base)/"]) else {
                return
            }
            #expect(hello.hasPrefix("HTTP/1.1 200 OK") && hello.hasSuffix("hello"), "\(hello)")
            let head = hello.lowercased()
            #expect(head.contains("server: probe") && head.contains(" gmt\r\n"), "\(hello)")
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
    }

    @Test(
        "a head that does not come in time closes its connection, one that idles afterwards does not",
        arguments: backends
    )
    func headerTimeout(backend: String) throws {
        let (process, port) = try start(
            ["noria"],
            backend,
            environment: ["HEADER_TIMEOUT_MS": "300"]
        )
        let request = Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8)
        let idle = try BlockingClient(port: port)
        try idle.send(request)
        var text = ""
        while !text.hasSuffix("hello") {
            text += String(decoding: try idle.receive(), as: UTF8.self)
        }
        let silent = try BlockingClient(port: port)
        let slow = try BlockingClient(port: port)
        try slow.send(Array("GET / HT".utf8))
        #expect(try slow.receiveAll().isEmpty)
        #expect(try silent.receiveAll().isEmpty)
        // Its time has passed, too, if it had one.
        try idle.send(request)
        text = ""
        while !text.hasSuffix("hello") {
            text += String(decoding: try idle.receive(), as: UTF8.self)
        }
        for client in [idle, silent, slow] { client.close() }
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }

    @Test("An application without a runtime says what failed, why, and what to do")
    func noRuntime() throws {
        let process = try ChildProcess("NoriaHummingbirdProbe", ["lost"])
        let line = try process.output.line(containing: "NoriaApplicationError: ")
        for words in ["NoriaApplication.run()", "no runtime", "'Runtime.main"] {
            #expect(line.contains(words), "\(line)")
        }
        try process.expectExit(.code(1))
    }

    @Test(
        "SIGTERM under load: no response is cut or reset, alone and as a service of the runtime's",
        arguments: backends,
        [1, 2]
    )
    func underLoad(backend: String, loops: Int) throws {
        let kind = loops == 1 ? "noria" : "service"
        let (process, port) = try start([kind], backend, loops: loops)
        let load = HTTPLoad(port: port)
        PlainThreads.run(35) { index in
            switch index {
            case 0:
                try? Waiting.until("1,000 answers") { load.answers >= 1000 }
                process.signal(SIGTERM)
            case 1...20: load.keepAlive()
            case 21...24: load.connectAgain()
            case 25...28: load.pipeline()
            default: load.stream()
            }
        }
        let exit = try process.waitForExit()
        let errors = try process.errors.all()
        #expect(exit == .code(0), "\(errors)")
        #expect(load.answers >= 1000)
        #expect(load.faults == [], "\(errors)")
    }
}
#endif
