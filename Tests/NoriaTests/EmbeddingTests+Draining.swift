// SPDX-License-Identifier: Apache-2.0
import TestSupport
import Testing

@testable import Noria

/// Several who wait for one drain.
extension EmbeddingTests {
    @Test(
        "a wait for a drain that is cancelled returns, and the others wait on",
        arguments: settings
    )
    func cancelledDrain(setting: Setting) async throws {
        try await withRuntime(setting.configuration) { runtime in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let server = runtime.spawn(name: "lines") {
                try await listener.serve { connection in
                    for try await line in connection.inbound.lines() {
                        try await connection.outbound.write("\(line)\n")
                    }
                }
            }
            let port = listener.localAddress.port ?? 0
            try await withTCPConnection(host: "127.0.0.1", port: port) { client in
                // In mid-line it is busy, and the drain waits for it.
                try await client.outbound.write("one\ntw")
                #expect(try await client.inbound.readLine() == "one")
                let returned = Locked<[String]>([])
                let impatient = runtime.spawn(name: "impatient") {
                    await listener.drain(until: .now + .seconds(60))
                    returned.withLock { $0.append("impatient \(Task.isCancelled)") }
                }
                let patient = runtime.spawn(name: "patient") {
                    await listener.drain(until: .now + .seconds(60))
                    returned.withLock { $0.append("patient \(Task.isCancelled)") }
                }
                try await until("the drain to begin") {
                    listener.acceptors.allSatisfy(\.isClosed)
                }
                impatient.cancel()
                await impatient.finished()
                #expect(returned.withLock { $0 } == ["impatient true"])
                try await client.outbound.write("o\n")
                #expect(try await client.inbound.readLine() == "two")
                #expect(try await client.inbound.readLine() == nil)
                await client.close()
                await patient.finished()
                await server.finished()
                #expect(returned.withLock { $0 } == ["impatient true", "patient false"])
            }
        }
    }
}

extension EmbeddingTests {
    /// Connects, has the end begin, and says its first word 20 ms later.
    private func isAnsweredLate(_ setting: Setting) async throws -> Bool {
        try await withRuntime(setting.configuration) { runtime in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            runtime.spawn(name: "lines") {
                try await listener.serve { connection in
                    for try await line in connection.inbound.lines() {
                        try await connection.outbound.write("\(line)\n")
                    }
                }
            }
            let port = listener.localAddress.port ?? 0
            return try await withTCPConnection(host: "127.0.0.1", port: port) { client in
                try await until("the connection to be accepted") {
                    runtime.eventLoops.reduce(0) { $0 + $1.snapshot().connectionsOpen } == 2
                }
                runtime.shutdown.request(reason: "test")
                try await runtime.clock.sleep(for: .milliseconds(20))
                try await client.outbound.write("word\n")
                let answer = try await client.inbound.readLine()
                // Nothing more is waited for: it was the last.
                #expect(try await client.inbound.readLine() == nil)
                return answer == "word"
            }
        }
    }

    @Test("who has just connected when the end begins is answered once more", arguments: settings)
    func firstByte(setting: Setting) async throws {
        // The machine may stand still for longer than the peer has.
        for _ in 0..<5 where try await isAnsweredLate(setting) { return }
        Issue.record("never answered")
    }
}

extension EmbeddingTests {
    @Test("a listener that is made while others drain is drained, too", arguments: settings)
    func lateListener(setting: Setting) async throws {
        try await withRuntime(setting.configuration) { runtime in
            let first = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            runtime.spawn(name: "first") {
                try await first.serve { connection in
                    for try await line in connection.inbound.lines() {
                        try await connection.outbound.write("\(line)\n")
                    }
                }
            }
            let port = first.localAddress.port ?? 0
            try await withTCPConnection(host: "127.0.0.1", port: port) { client in
                // In mid-line it keeps the drain waiting.
                try await client.outbound.write("one\ntw")
                #expect(try await client.inbound.readLine() == "one")
                runtime.shutdown.request(reason: "test")
                let second = try await TCPListener.bind(host: "127.0.0.1", port: 0)
                let wasCancelled = Locked<Bool?>(nil)
                let serving = runtime.spawn(name: "second") {
                    try? await second.serve { _ in }
                    wasCancelled.withLock { $0 = Task.isCancelled }
                }
                try await client.outbound.write("o\n")
                #expect(try await client.inbound.readLine() == "two")
                await serving.finished()
                #expect(wasCancelled.withLock { $0 } == false)
            }
        }
    }
}
