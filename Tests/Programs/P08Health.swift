// SPDX-License-Identifier: Apache-2.0
import Noria

@main struct HealthEndpoint {
    static func main() {
        Runtime.main { runtime in
            runtime.health.setNotReady("database", because: "connecting")
            runtime.spawn(name: "database probe", every: .seconds(5)) {
                do {
                    try await withTCPConnection(host: "db", port: 5432) { _ in }
                    runtime.health.setReady("database")
                } catch {
                    runtime.health.setNotReady("database", because: "\(error)")
                }
            }
            // Bound first, it is drained last: it answers until all else has ended.
            let probes = try await TCPListener.bind(host: "0.0.0.0", port: 8081)
            runtime.spawn(name: "health endpoint") {
                try await probes.serve { connection in
                    guard let request = try await connection.inbound.readLine(limit: 1024) else {
                        return
                    }
                    let isGood =
                        request.hasPrefix("GET /live")
                        ? runtime.health.isLive : runtime.health.isReady
                    let body =
                        isGood
                        ? "ok\n" : runtime.health.reasons.map { "\($0): \($1)\n" }.joined()
                    let status = isGood ? "200 OK" : "503 Service Unavailable"
                    try await connection.outbound.write(
                        "HTTP/1.1 \(status)\r\nContent-Length: \(body.utf8.count)\r\n"
                            + "Connection: close\r\n\r\n\(body)"
                    )
                }
            }
            // The clients' addresses come from the load balancer.
            let listener = try await TCPListener.bind(
                host: "0.0.0.0",
                port: 7010,
                proxyProtocol: .required
            )
            try await listener.serve { connection in
                try await connection.outbound.write("hello, \(connection.peerAddress)\n")
            }
        }
    }
}
