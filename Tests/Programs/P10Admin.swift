// SPDX-License-Identifier: Apache-2.0
import Noria

@main struct Admin {
    static func main() {
        Runtime.main { runtime in
            runtime.spawn(name: "admin") {
                try await UnixListener.bind(path: "/run/app/admin.sock").serve { connection in
                    guard try connection.peerCredentials.userID == 0 else {
                        return connection.abort()
                    }
                    for try await command in connection.inbound.lines() {
                        try await connection.outbound.write(answer(command, runtime) + "\n")
                    }
                }
            }
            // One generic handler for TCP and Unix, passed by name.
            try await TCPListener.bind(host: "0.0.0.0", port: 7009).serve(echo)
        }
    }

    nonisolated static func echo(_ connection: some StreamConnection) async throws {
        for try await chunk in connection.inbound { try await connection.outbound.write(chunk) }
    }

    nonisolated static func answer(_ command: String, _ runtime: Runtime) -> String {
        if command == "tasks" {
            return runtime.tasks().map { "\($0.id) \($0.name ?? "-") \($0.ageSeconds)" }
                .joined(separator: "\n")
        }
        guard command == "stop" else { return "\(runtime.snapshot().eventLoops.count) loops" }
        runtime.shutdown.request(reason: "the admin asked for it")
        return "ending"
    }
}
