// SPDX-License-Identifier: Apache-2.0
import Noria

@main struct Proxy {
    static func main() {
        Runtime.main { _ in
            try await TCPListener.bind(host: "0.0.0.0", port: 7003).serve { client in
                try await withTCPConnection(host: "127.0.0.1", port: 7000, timeout: .seconds(3)) {
                    upstream in
                    try await client.relay(to: upstream)
                }
            }
        }
    }
}

/// What `relay(to:)` does, by hand.
func relay(_ a: some StreamConnection, _ b: some StreamConnection) async throws {
    try await withThrowingDiscardingTaskGroup { group in
        group.addTask { try await pipe(a.inbound, to: b.outbound) }
        group.addTask { try await pipe(b.inbound, to: a.outbound) }
    }
}

nonisolated func pipe(_ inbound: InboundBytes, to outbound: OutboundBytes) async throws {
    try await outbound.write(contentsOf: inbound)
    try await outbound.finish()
}
