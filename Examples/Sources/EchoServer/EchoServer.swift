// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// Sends every byte back: `EchoServer [HOST [PORT]]`.
@main
struct EchoServer {
    static func main() {
        let arguments = CommandLine.arguments
        let host = arguments.count > 1 ? arguments[1] : "127.0.0.1"
        let port = arguments.count > 2 ? Int(arguments[2]) ?? -1 : 7000
        Runtime.main { _ in
            let listener = try await TCPListener.bind(host: host, port: port)
            print("listening on \(listener.localAddress)")
            fflush(nil)  // whoever reads through a pipe waits for this line
            try await listener.serve { connection in
                // No byte is copied, and while all is plain no task is woken either.
                try await connection.outbound.write(contentsOf: connection.inbound)
            }
        }
    }
}
