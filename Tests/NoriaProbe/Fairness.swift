// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// Tasks that never wait, beside an echo: a client must still be answered.
enum Fairness {
    /// Each task makes the next: the queue is never empty.
    private static func again() {
        Task.detached { again() }
    }

    static func run() {
        Runtime.main(NoriaProbe.configuration) { _ in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            _ = Task { while !Task.isCancelled { await Task.yield() } }
            again()
            print("listening on \(listener.localAddress)")
            fflush(nil)
            try await listener.serve { connection in
                for try await chunk in connection.inbound {
                    try await connection.outbound.write(chunk)
                }
            }
        }
    }
}
