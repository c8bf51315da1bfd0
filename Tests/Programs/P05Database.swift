// SPDX-License-Identifier: Apache-2.0
import Noria

/// What a C library would bring.
nonisolated func openDatabase(_ path: String) -> OpaquePointer? { nil }
nonisolated func query(_ handle: OpaquePointer, _ text: String) -> [String] { [text] }
nonisolated func closeDatabase(_ handle: OpaquePointer) {}

/// A handle that one thread at a time may use.
actor Database {
    private let lane: ThreadPool.Lane
    nonisolated var unownedExecutor: UnownedSerialExecutor { lane.unownedExecutor }
    private var handle: OpaquePointer?

    init(on pool: ThreadPool) { lane = pool.makeLane(name: "database") }

    // Not in `init`, which runs on the caller's loop.
    func open(_ path: String) { handle = openDatabase(path) }
    func rows(_ text: String) -> [String] { handle.map { query($0, text) } ?? [] }
    func close() {
        if let handle { closeDatabase(handle) }
        handle = nil
    }
}

@main struct DatabaseServer {
    static func main() {
        Runtime.main { runtime in
            let version = try await runtime.blocking.run(name: "version", timeout: .seconds(1)) {
                openDatabase("app.db").map { query($0, "select version()") }?.first ?? "?"
            }
            print(version)
            let database = Database(on: runtime.blocking)
            await database.open("app.db")
            try await TCPListener.bind(host: "0.0.0.0", port: 7004).serve { connection in
                for try await line in connection.inbound.lines() {
                    let rows = await database.rows(line)
                    try await connection.outbound.write(rows.joined(separator: "\n"))
                }
            }
            // After the last connection has drained: structure gives the order.
            await database.close()
        }
    }
}
