// SPDX-License-Identifier: Apache-2.0
import Noria

actor Store {
    private var values: [String: String] = [:]
    subscript(key: String) -> String? { values[key] }
    func set(_ key: String, _ value: String) { values[key] = value }
}

@main struct LineProtocol {
    static func main() {
        let store = Store()
        Runtime.main { _ in
            let limits = StreamLimits(
                idleTimeout: .seconds(60),
                readTimeout: .seconds(10),
                connectionLimit: 10_000
            )
            let listener = try await TCPListener.bind(host: "0.0.0.0", port: 7002, limits: limits)
            try await listener.serve { connection in
                do {
                    try await session(connection.inbound, connection.outbound, store)
                } catch let error as TimeoutError {
                    try await connection.outbound.write("ERR \(error.name) took too long\r\n")
                } catch let error as NetworkError
                    where error.kind == .tooLong || error.kind == .timedOut
                {
                    try await connection.outbound.write("ERR \(error.kind)\r\n")
                }
            }
        }
    }

    nonisolated static func session(
        _ inbound: InboundBytes,
        _ outbound: OutboundBytes,
        _ store: Store
    ) async throws {
        let hello = try await withTimeout(.seconds(5), name: "login") {
            try await inbound.readLine(limit: 128)
        }
        guard hello == "HELLO" else { return try await outbound.write("ERR say HELLO first\r\n") }
        for try await line in inbound.lines(limit: 4096) {
            let words = line.split(separator: " ", maxSplits: 2).map(String.init)
            switch (words.first, words.count) {
            case ("GET", 2): try await outbound.write("\(await store[words[1]] ?? "-")\r\n")
            case ("SET", 3):
                await store.set(words[1], words[2])
                try await outbound.write("OK\r\n")
            case ("QUIT", 1): return
            default: try await outbound.write("ERR unknown command\r\n")
            }
        }
    }
}
