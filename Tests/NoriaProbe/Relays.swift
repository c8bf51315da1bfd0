// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// A proxy between a TCP side and a Unix side.
enum Relays {
    /// Listens on a Unix path, and passes each client on to a port of 127.0.0.1.
    static func toTCP() {
        let path = FilePath(CommandLine.arguments[2])
        let port = Int(CommandLine.arguments[3]) ?? 0
        Runtime.main(NoriaProbe.configuration) { _ in
            let listener = try await UnixListener.bind(path: path)
            say(listener.localAddress)
            try await listener.serve { client in
                try await withTCPConnection(host: "127.0.0.1", port: port) {
                    try await client.relay(to: $0)
                }
            }
        }
    }

    /// Listens on a free port, and passes each client on to a Unix path.
    static func toUnix() {
        let path = FilePath(CommandLine.arguments[2])
        Runtime.main(NoriaProbe.configuration) { _ in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            say(listener.localAddress)
            try await listener.serve { client in
                try await withUnixConnection(path: path) { try await client.relay(to: $0) }
            }
        }
    }

    private static func say(_ address: SocketAddress) {
        print("listening on \(address)")
        fflush(nil)
    }
}
