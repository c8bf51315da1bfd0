// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@Suite("Unix listeners and connections of one process")
struct UnixProbeTests {
    @Test("modes, names, credentials, refusals, a full queue, the end", arguments: Backends.all)
    func facts(backend: String) throws {
        let folder = try TemporaryFolder()
        let process = try ChildProcess(
            "NoriaProbe",
            ["unix", folder.path],
            environment: ["NORIA_BACKEND": backend]
        )
        let exit = try process.waitForExit()
        let text = try process.output.all()
        #expect(exit == .code(0), "\(text) \(process.errors.text)")
        let path = "unix:\(folder.path)"
        let expected = """
            mode: 600
            mode: 666
            mode: 660
            listener: true
            client sees itself: true
            client: unix:(unnamed) true
            server sees itself: true
            server: true unix:(unnamed)
            description: true
            answer: echo
            gone: true
            nobody: refused 2 connect to \(path)/refusals: connection refused: nobody listens there \
            (ENOENT)
            a file: refused 111 connect to \(path)/refusals: connection refused: nobody listens there \
            (ECONNREFUSED)
            connect ip: badAddress - read the address '127.0.0.1:1': not an address; for an IP \
            address use 'TCPConnection'
            bind ip: badAddress - read the address '127.0.0.1:1': not an address; for an IP address \
            use 'TCPListener'
            twice: addressInUse 98 listen on \(path)/refusals: the address is in use (EADDRINUSE); \
            another process listens there, and its queue is full
            long: badAddress - read the address '\(String(repeating: "x", count: 200))': not an \
            address; the path has 200 bytes, and the limit is 107
            full: timedOut - connect to \(path)/queue: timed out; the listener's queue is full, not \
            done after 0.05 seconds
            cancelled: CancellationError()
            waited: room
            first: room
            reader: closed
            peer's write: closed
            aborted: first
            after it: closed
            second's path is left: true
            closed: true
            ended: ()
            """
        // The two ends of one connection speak in any order.
        #expect(text.split(separator: "\n").sorted() == expected.split(separator: "\n").sorted())
        #expect(folder.entries == [])
    }

    @Test("two loops are given connections in turn", arguments: Backends.all)
    func loops(backend: String) throws {
        let folder = try TemporaryFolder()
        let process = try ChildProcess(
            "NoriaProbe",
            ["unix loops", "\(folder.path)/x"],
            environment: ["NORIA_BACKEND": backend]
        )
        try process.output.line(containing: "listening")
        let places = try (0..<100).map { _ in
            let client = try BlockingClient(unix: "\(folder.path)/x")
            return String(decoding: try client.receiveAll(), as: UTF8.self)
        }
        #expect(places == (0..<100).map { "loop \($0 % 2)" })
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }
}
