// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// Passes each connection on to another server: `Proxy HOST PORT UPSTREAM-HOST UPSTREAM-PORT`.
@main
struct Proxy {
    static func main() {
        let arguments = CommandLine.arguments
        guard arguments.count == 5, let port = Int(arguments[2]), let target = Int(arguments[4])
        else {
            print("usage: Proxy HOST PORT UPSTREAM-HOST UPSTREAM-PORT")
            return
        }
        let (host, upstreamHost) = (arguments[1], arguments[3])
        Runtime.main { _ in
            let listener = try await TCPListener.bind(host: host, port: port)
            print("listening on \(listener.localAddress)")
            fflush(nil)  // whoever reads through a pipe waits for this line
            try await listener.serve { client in
                // An upstream that refuses or is silent ends this client's connection alone.
                try await withTCPConnection(
                    host: upstreamHost,
                    port: target,
                    timeout: .seconds(3)
                ) { upstream in
                    // Both ways until both have ended; each end is passed on as a half-close.
                    try await client.relay(to: upstream)
                }
            }
        }
    }
}
