// SPDX-License-Identifier: Apache-2.0
#if NIO
import Glibc
import NoriaSystem
import Synchronization
import TestSupport
import Testing

/// HTTP, TLS, HTTP/2 and WebSocket of SwiftNIO's, unchanged, each with a client of somebody else's.
@Suite("Real clients of SwiftNIO's protocols on Noria's loops", .serialized)
struct RealClientTests {
    private static let backends = ["io_uring", "epoll", "poll"]

    /// A server of the probe's, and its port.
    private static func start(
        _ arguments: [String],
        _ backend: String,
        loops: Int = 1
    ) throws -> (process: ChildProcess, port: Int) {
        let process = try ChildProcess(
            "NoriaNIOProbe",
            arguments,
            environment: ["NORIA_BACKEND": backend, "NORIA_LOOPS": "\(loops)"]
        )
        let line = try process.output.line(containing: "listening on 127.0.0.1:")
        return (process, Int(line.drop { $0 != ":" }.dropFirst().prefix { $0.isNumber }) ?? 0)
    }

    /// The program's whole output; nil, and said so, where there is none of that name.
    private static func output(
        _ command: String,
        _ arguments: [String],
        code: Int32 = 0
    ) throws -> String? {
        let paths = ["/usr/bin/\(command)", "/usr/local/bin/\(command)"]
        guard let path = paths.first(where: { access($0, X_OK) == 0 }) else {
            print("skipped: no \(command) here")
            return nil
        }
        let process = try ChildProcess(path, arguments)
        let exit = try process.waitForExit(seconds: 120)
        let errors = try process.errors.all()
        #expect(exit == .code(code), "\(command) \(arguments): \(errors)")
        return try process.output.all()
    }

    private static func bytes(of path: String) -> [UInt8] {
        guard let file = fopen(path, "r") else { return [] }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 20)
        while case let count = fread(&piece, 1, piece.count, file), count > 0 {
            bytes += piece[..<count]
        }
        return bytes
    }

    /// A certificate for this machine, and its key.
    private static func certificate(in folder: TemporaryFolder, name: String) throws -> [String]? {
        let paths = ["\(folder.path)/certificate.pem", "\(folder.path)/key.pem"]
        let made = try output(
            "openssl",
            [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                "-nodes", "-days", "2", "-subj", "/CN=\(name)", "-addext",
                "subjectAltName=IP:127.0.0.1", "-out", paths[0], "-keyout", paths[1],
            ]
        )
        return made == nil ? nil : paths
    }

    @Test(
        "curl is answered by HTTPS in both versions, and 8 MiB come and go whole",
        arguments: backends,
        ["--http1.1", "--http2"]
    )
    func curl(backend: String, version: String) throws {
        let folder = try TemporaryFolder()
        guard let paths = try Self.certificate(in: folder, name: "localhost") else { return }
        let (process, port) = try Self.start(["https"] + paths, backend)
        let base = "https://127.0.0.1:\(port)"
        let options = ["-sS", version, "--cacert", paths[0]]
        guard
            let hello = try Self.output(
                "curl",
                options + ["-w", " by HTTP/%{http_version}", "\(base)/"]
            )
        else { return }
        #expect(hello == (version == "--http2" ? "hello by HTTP/2" : "hello by HTTP/1.1"))
        let count = 8 << 20
        let file = "\(folder.path)/body"
        _ = try Self.output("curl", options + ["-o", file, "\(base)/bytes/\(count)"])
        let received = Self.bytes(of: file)
        #expect(received.count == count)
        #expect(received.indices.allSatisfy { received[$0] == UInt8($0 % 251) })
        let sum = received.reduce(UInt32(0)) { $0 &* 31 &+ UInt32($1) }
        let posted = try Self.output(
            "curl",
            options + ["--data-binary", "@\(file)", "-H", "Expect:", "\(base)/count"]
        )
        #expect(posted == "\(count) \(sum)\n")
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }

    @Test("h2load has each of 2,000 streams answered", arguments: backends, [1, 2])
    func manyStreams(backend: String, loops: Int) throws {
        let folder = try TemporaryFolder()
        guard let paths = try Self.certificate(in: folder, name: "localhost") else { return }
        let (process, port) = try Self.start(["https"] + paths, backend, loops: loops)
        let report = try Self.output(
            "h2load",
            ["-n2000", "-c8", "-m20", "https://127.0.0.1:\(port)/"]
        )
        if let report { #expect(report.contains("2000 succeeded, 0 failed"), "\(report)") }
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }

    @Test("a certificate is read anew at SIGHUP, and no connection is dropped", arguments: backends)
    func reload(backend: String) throws {
        let folder = try TemporaryFolder()
        guard let paths = try Self.certificate(in: folder, name: "first") else { return }
        let (process, port) = try Self.start(["https"] + paths, backend)
        func subject() throws -> String {
            let script = "openssl s_client -connect 127.0.0.1:\(port) </dev/null 2>/dev/null"
            return try Self.output("env", ["sh", "-c", "\(script) | grep subject="]) ?? ""
        }
        #expect(try subject().contains("first"))
        // It asks once now, and once more when it is told to.
        let held = try ChildProcess(
            "/usr/bin/env",
            [
                "python3", "-u", "-c",
                """
                import http.client, os, ssl, sys
                context = ssl._create_unverified_context()
                client = http.client.HTTPSConnection("127.0.0.1", \(port), context=context)
                client.request("GET", "/")
                print(client.getresponse().read())
                name = client.sock.getsockname()
                while not os.path.exists(sys.argv[1]): pass
                client.request("GET", "/")
                print(client.getresponse().read(), client.sock.getsockname() == name)
                """, "\(folder.path)/go",
            ]
        )
        try held.output.line(containing: "hello")
        _ = try Self.certificate(in: folder, name: "second")
        process.signal(SIGHUP)
        try process.output.line(containing: "reloaded")
        #expect(try subject().contains("second"))
        try SystemFile.write("", to: "\(folder.path)/go")
        try held.output.line(containing: "b'hello' True")
        try held.expectExit(.code(0))
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }

    @Test(
        "a WebSocket client's texts, bytes and pings are answered, and its close",
        arguments: backends
    )
    func webSocket(backend: String) throws {
        let (process, port) = try Self.start(["websocket"], backend)
        let script = """
            import asyncio, os, sys
            try:
                import websockets
            except ImportError:
                print("skipped: no 'websockets' here"); sys.exit(0)
            async def main():
                async with websockets.connect("ws://127.0.0.1:\(port)/", max_size=None) as socket:
                    for count in [0, 1, 125, 126, 65535, 65536, 500000]:
                        text, data = "x" * count, os.urandom(count)
                        await socket.send(text); assert await socket.recv() == text
                        await socket.send(data); assert await socket.recv() == data
                    await (await socket.ping())
                print("all answered")
            asyncio.run(main())
            """
        let output = try Self.output("env", ["python3", "-c", script]) ?? ""
        #expect(output == "all answered\n" || output.hasPrefix("skipped"), "\(output)")
        if output.hasPrefix("skipped") { print(output) }
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }

    @Test(
        "garbage instead of a handshake, or of a request, ends its connection and no other",
        arguments: backends
    )
    func garbage(backend: String) throws {
        let folder = try TemporaryFolder()
        guard let paths = try Self.certificate(in: folder, name: "localhost") else { return }
        for arguments in [["http"], ["https"] + paths] {
            let (process, port) = try Self.start(arguments, backend)
            let garbage: [[UInt8]] = [
                [UInt8](repeating: 0xff, count: 10_000), Array("GET\r\n\r\n".utf8),
                Array(
                    "GET / HTTP/1.1\r\nx: \(String(repeating: "y", count: 100_000))\r\n\r\n".utf8
                ),
                [0x16, 3, 1, 0xff, 0xff] + [UInt8](repeating: 0, count: 70_000), [0x16],
            ]
            for bytes in garbage {
                let client = try BlockingClient(port: port)
                try? client.send(bytes)
                client.endSending()
                _ = try? client.receiveAll()
                client.close()
            }
            let scheme = arguments[0]
            let hello = try Self.output("curl", ["-sSk", "\(scheme)://127.0.0.1:\(port)/"])
            #expect(hello == nil || hello == "hello")
            process.signal(SIGTERM)
            try process.expectExit(.code(0))
        }
    }

    @Test(
        "SIGTERM under load: no response is cut or reset, kept-alive, pipelined or streamed",
        arguments: backends,
        [1, 2]
    )
    func underLoad(backend: String, loops: Int) throws {
        let (process, port) = try Self.start(["http"], backend, loops: loops)
        let load = HTTPLoad(port: port)
        PlainThreads.run(41) { index in
            switch index {
            case 0:
                try? Waiting.until("1,000 answers") { load.answers >= 1000 }
                process.signal(SIGTERM)
            case 1...20: load.keepAlive()
            case 21...28: load.connectAgain()
            case 29...34: load.pipeline()
            default: load.stream()
            }
        }
        let exit = try process.waitForExit()
        let errors = try process.errors.all()
        #expect(exit == .code(0), "\(errors)")
        #expect(load.answers >= 1000)
        #expect(load.faults == [])
    }
}

/// Clients that never stop by themselves, and what they saw.
private final class HTTPLoad: Sendable {
    private let port: Int
    private let state = Mutex((answers: 0, faults: [String]()))

    init(port: Int) { self.port = port }

    var answers: Int { state.withLock { $0.answers } }
    var faults: [String] { state.withLock { $0.faults } }

    private func answered() { state.withLock { $0.answers += 1 } }
    private func fault(_ text: String) { state.withLock { $0.faults.append(text) } }

    private static let request = Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8)

    func keepAlive() {
        guard let client = try? BlockingClient(port: port) else { return fault("not connected") }
        while ask(client, "keep-alive") {}
        client.close()
    }

    func connectAgain() {
        for _ in 0..<100_000 {
            do {
                let client = try BlockingClient(port: port)
                _ = ask(client, "connect")
                client.close()
            } catch let error as BlockingClient.Failure where error.errno == ECONNREFUSED {
                return
            } catch { return fault("connect: \(error)") }
        }
    }

    /// One request, and whether another may follow.
    private func ask(_ client: BlockingClient, _ kind: String) -> Bool {
        do {
            // A server that has ended takes it all the same, and answers by its end.
            try client.send(Self.request)
            guard let isLast = try answer(client, kind) else { return false }
            return !isLast
        } catch {
            fault("\(kind): \(error)")
            return false
        }
    }

    /// Reads one answer: nil when the end stands in its place, else whether it is the last.
    private func answer(_ client: BlockingClient, _ kind: String) throws -> Bool? {
        var text = ""
        while !text.hasSuffix("\r\n\r\nhello") {
            let piece = try client.receive(atMost: 1)
            if piece.isEmpty {
                if !text.isEmpty { fault("\(kind): cut: \(text)") }
                return nil
            }
            text += String(decoding: piece, as: UTF8.self)
        }
        answered()
        return text.contains("connection: close") || text.contains("Connection: close")
    }

    /// Several requests on their way; those behind the last answer meet the end.
    func pipeline() {
        do {
            let client = try BlockingClient(port: port)
            defer { client.close() }
            while true {
                try client.send(Array(repeating: Self.request, count: 5).flatMap(\.self))
                for _ in 0..<5 {
                    guard let isLast = try answer(client, "pipelined"), !isLast else { return }
                }
            }
        } catch { fault("pipelined: \(error)") }
    }

    /// Long answers: what was begun must come whole.
    func stream() {
        do {
            let client = try BlockingClient(port: port)
            defer { client.close() }
            let count = 3_000_000
            while true {
                try client.send(Array("GET /bytes/\(count) HTTP/1.1\r\nHost: x\r\n\r\n".utf8))
                var head: [UInt8] = []
                while !head.suffix(4).elementsEqual("\r\n\r\n".utf8) {
                    let piece = try client.receive(atMost: 1)
                    guard !piece.isEmpty else {
                        if !head.isEmpty { fault("streamed: the head is cut") }
                        return
                    }
                    head += piece
                }
                let body = try client.receive(exactly: count)
                guard body.count == count else {
                    return fault("streamed: \(body.count) of \(count)")
                }
                answered()
                let text = String(decoding: head, as: UTF8.self).lowercased()
                if text.contains("connection: close") { return }
            }
        } catch { fault("streamed: \(error)") }
    }
}
#endif
