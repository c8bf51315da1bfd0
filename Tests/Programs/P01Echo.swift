// SPDX-License-Identifier: Apache-2.0
import Noria

@main struct Echo {
    static func main() {
        Runtime.main { _ in
            try await TCPListener.bind(host: "127.0.0.1", port: 7000).serve { connection in
                try await connection.outbound.write(contentsOf: connection.inbound)
            }
        }
    }
}
