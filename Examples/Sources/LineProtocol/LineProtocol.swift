// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

actor Store {
    private var values: [String: String] = [:]
    subscript(key: String) -> String? { values[key] }
    func set(_ key: String, _ value: String) { values[key] = value }
}

/// HELLO, then GET, SET and QUIT, each in its time: `LineProtocol [HOST [PORT]]`.
@main
struct LineProtocol {
    /// A client that says nothing leaves after a minute; a line that began must end in 10 s.
    static let limits = StreamLimits(
        idleTimeout: .seconds(60),
        readTimeout: .seconds(10),
        connectionLimit: 10_000
    )

    static func main() {
        let arguments = CommandLine.arguments
        let host = arguments.count > 1 ? arguments[1] : "127.0.0.1"
        let port = arguments.count > 2 ? Int(arguments[2]) ?? -1 : 7002
        let store = Store()
        Runtime.main { _ in
            let listener = try await TCPListener.bind(host: host, port: port, limits: limits)
            print("listening on \(listener.localAddress)")
            fflush(nil)  // whoever reads through a pipe waits for this line
            try await listener.serve { connection in
                let outbound = connection.outbound
                do {
                    try await session(connection.inbound, outbound, store)
                } catch let error as TimeoutError {
                    try await outbound.write("ERR \(error.name) took too long\r\n")
                } catch let error as NetworkError
                    where error.kind == .tooLong || error.kind == .timedOut
                {
                    try await outbound.write("ERR \(error.kind)\r\n")
                }
            }
        }
    }

    static func session(
        _ inbound: InboundBytes,
        _ outbound: OutboundBytes,
        _ store: Store
    ) async throws {
        let hello = try await withTimeout(.seconds(1), name: "login") {
            try await inbound.readLine(limit: 128)
        }
        guard hello == "HELLO" else { return try await outbound.write("ERR say HELLO first\r\n") }
        try await outbound.write("OK\r\n")
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
