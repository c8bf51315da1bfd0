// SPDX-License-Identifier: Apache-2.0
import Noria

@main struct Tool {
    static func main() async throws {
        var lines = 0
        let banner = try await withRuntime { _ in
            try await withTCPConnection(host: "127.0.0.1", port: 25) { connection in
                while let line = try await connection.inbound.readLine() {
                    lines += 1
                    if line.hasPrefix("220 ") { return line }
                }
                return ""
            }
        }
        print(banner, lines)
    }
}
