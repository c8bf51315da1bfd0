// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// One of several replicas behind a load balancer: answers each line with its port, and says on a
/// second port whether it wants more.
///
/// At SIGTERM it is not ready at once, goes on for its grace, and ends then; the second port is
/// answered until everything else has been drained.
enum Replica {
    static func run() {
        let numbers = CommandLine.arguments.dropFirst(2).compactMap { Int($0) }
        guard numbers.count == 3 else {
            print("usage: noria-probe replica PORT READINESS-PORT GRACE-MILLISECONDS [proxied]")
            exit(64)
        }
        let (port, readinessPort, grace) = (numbers[0], numbers[1], numbers[2])
        let proxies: ProxyProtocol = CommandLine.arguments.last == "proxied" ? .required : .off
        let configuration = RuntimeConfiguration.production.with {
            $0.shutdown.grace = .milliseconds(grace)
        }
        Runtime.main(configuration) { runtime in
            let health = runtime.health
            // Bound first, it is drained last.
            let readiness = try await TCPListener.bind(host: "127.0.0.1", port: readinessPort)
            runtime.spawn(name: "readiness") {
                try await readiness.serve { connection in
                    let answer = health.isReady ? "ready" : "not ready"
                    try await connection.outbound.write("\(answer)\n")
                }
            }
            let listener = try await TCPListener.bind(
                host: "127.0.0.1",
                port: port,
                proxyProtocol: proxies
            )
            print("listening on \(listener.localAddress)")
            fflush(nil)
            try await listener.serve { connection in
                for try await line in connection.inbound.lines() {
                    let peer = proxies == .required ? "\(connection.peerAddress) " : ""
                    try await connection.outbound.write("\(peer)\(port) \(line)\n")
                }
            }
        }
    }
}
