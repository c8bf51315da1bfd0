// SPDX-License-Identifier: Apache-2.0
import Glibc
import NoriaSystem
import TestSupport
import Testing

/// What a server says of a loop that is blocked, and what it does not say of one that is not.
@Suite("stalls of a real server")
struct StallTests {
    private static let message: [UInt8] = [1, 2, 3, 4, 5]

    @Test("a blocked loop is named with function, file and line", arguments: Backends.all)
    func named(backend: String) throws {
        let server = try EchoServer(
            backend,
            environment: [
                "NORIA_STALL_REPORT_THRESHOLD": "200ms", "NORIA_STALL_REPORTS_PER_MINUTE": "100",
            ],
            arguments: ["--block-every", "2", "--block-for", "400"]
        )
        let client = try server.connect()
        for _ in 0..<6 {
            try client.send(Self.message)
            #expect(try client.receive(exactly: 5) == Self.message)
        }
        client.close()
        #expect(try server.end() == .code(0))
        let errors = try server.process.errors.all()
        let reports = errors.split(separator: "\n").filter { $0.contains("is blocked, for ") }
        #expect(reports.count == 3, "\(errors)")
        let calls = errors.split(separator: "\n").filter {
            $0.contains("blockOnPurpose(milliseconds:) at FaultOptions.swift:")
        }
        #expect(calls.count == 3, "\(errors)")
        #expect(errors.contains("loop 0 goes on, after a turn of 4"), "\(errors)")
    }

    @Test("a server that is stopped for a while has no stall", arguments: Backends.all)
    func stoppedProcess(backend: String) throws {
        let server = try EchoServer(backend, environment: ["NORIA_LOG_LEVEL": "debug"])
        let client = try server.connect()
        let end = MonotonicClock.now + 1_500_000_000
        var rounds = 0
        while MonotonicClock.now < end {
            try client.send(Self.message)
            #expect(try client.receive(exactly: 5) == Self.message)
            rounds += 1
            // Somewhere in a turn, or between two of them.
            if rounds.isMultiple(of: 500) {
                server.process.signal(SIGSTOP)
                Thread.sleep(nanoseconds: 300_000_000)
                server.process.signal(SIGCONT)
            }
        }
        #expect(rounds >= 500)
        client.close()
        #expect(try server.end() == .code(0))
        let errors = try server.process.errors.all()
        #expect(!errors.contains("is blocked") && !errors.contains("goes on"), "\(errors)")
    }
}
