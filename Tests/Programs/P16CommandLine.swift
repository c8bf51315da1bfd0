// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Noria

@main struct Serve: ParsableCommand {
    @Option var host = "127.0.0.1"
    @Option var port = 7016

    func run() throws {
        let (host, port) = (host, port)
        Runtime.main { _ in
            try await TCPListener.bind(host: host, port: port).serve { connection in
                try await connection.outbound.write(contentsOf: connection.inbound)
            }
        }
    }
}
