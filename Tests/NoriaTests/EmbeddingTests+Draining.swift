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
