// SPDX-License-Identifier: Apache-2.0
#if NIO
import Glibc
import NoriaSystem
import TestSupport
import Testing

/// HTTP, TLS, HTTP/2 and WebSocket of SwiftNIO's, unchanged, each with a client of somebody else's.
@Suite("Real clients of SwiftNIO's protocols on Noria's loops", .serialized)
struct RealClientTests {
    private static let backends = ["io_uring", "epoll", "poll"]

    @Test(
        "curl is answered by HTTPS in both versions, and 8 MiB come and go whole",
        arguments: backends,
        ["--http1.1", "--http2"]
    )
    func curl(backend: String, version: String) throws {
        let folder = try TemporaryFolder()
        guard let paths = try RealProgram.certificate(in: folder, name: "localhost") else { return }
        let (process, port) = try RealProgram.start(["https"] + paths, backend)
        let base = "https://127.0.0.1:\(port)"
        let options = ["-sS", version, "--cacert", paths[0]]
        guard
            let hello = try RealProgram.output(
                "curl",
                options + ["-w", " by HTTP/%{http_version}", "\(base)/"]
            )
        else { return }
        #expect(hello == (version == "--http2" ? "hello by HTTP/2" : "hello by HTTP/1.1"))
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

    @Test("h2load has each of 2,000 streams answered", arguments: backends, [1, 2])
    func manyStreams(backend: String, loops: Int) throws {
        let folder = try TemporaryFolder()
        guard let paths = try RealProgram.certificate(in: folder, name: "localhost") else { return }
        let (process, port) = try RealProgram.start(["https"] + paths, backend, loops: loops)
        let report = try RealProgram.output(
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
        guard let paths = try RealProgram.certificate(in: folder, name: "first") else { return }
        let (process, port) = try RealProgram.start(["https"] + paths, backend)
        func subject() throws -> String {
            let script = "openssl s_client -connect 127.0.0.1:\(port) </dev/null 2>/dev/null"
            return try RealProgram.output("env", ["sh", "-c", "\(script) | grep subject="]) ?? ""
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
        _ = try RealProgram.certificate(in: folder, name: "second")
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
        let (process, port) = try RealProgram.start(["websocket"], backend)
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
        let output = try RealProgram.output("env", ["python3", "-c", script]) ?? ""
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
        guard let paths = try RealProgram.certificate(in: folder, name: "localhost") else { return }
        for arguments in [["http"], ["https"] + paths] {
            let (process, port) = try RealProgram.start(arguments, backend)
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
            let hello = try RealProgram.output("curl", ["-sSk", "\(scheme)://127.0.0.1:\(port)/"])
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
        let (process, port) = try RealProgram.start(["http"], backend, loops: loops)
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
#endif
