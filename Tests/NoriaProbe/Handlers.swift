// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// A server whose handlers fail, close early and close twice, as the client's first byte asks.
enum Handlers {
    private struct Mistake: Error, CustomStringConvertible {
        var description: String { "a mistake of the handler's" }
    }

    static func run() {
        Runtime.main(NoriaProbe.configuration) { _ in
            // A small buffer in the kernel, so that bytes wait with us.
            let listener = try await TCPListener.bind(
                host: "127.0.0.1",
                port: 0,
                options: SocketOptions(sendBufferByteCount: 16_384)
            )
            say("listening on \(listener.localAddress)")
            try await listener.serve { connection in
                guard let first = try await connection.inbound.next() else { return }
                switch first.first {
                case UInt8(ascii: "t"): throw Mistake()
                case UInt8(ascii: "r"): return
                case UInt8(ascii: "a"): connection.abort()
                case UInt8(ascii: "2"): try await closeTwice(connection)
                default:
                    try await connection.outbound.write(first)
                    try await connection.outbound.write(contentsOf: connection.inbound)
                }
            }
        }
    }

    /// Two tasks close while bytes wait: whoever is second must not close the number again, which
    /// may be another's by then.
    private static func closeTwice(_ connection: TCPConnection) async throws {
        try connection.outbound.enqueue([UInt8](repeating: 7, count: 1_000_000))
        async let first = closeAndOpen(connection)
        async let second: Void = connection.close()
        // Both have begun when this has been let run again.
        for _ in 0..<4 { await Task.yield() }
        say("closing with bytes unsent: \(connection.outbound.unsentByteCount > 0)")
        let opened = await first
        await second
        say("the number is still the next owner's: \(fcntl(opened, F_GETFD) >= 0)")
        close(opened)
    }

    /// The lowest free number is given out: the one that has just been closed.
    private static func closeAndOpen(_ connection: TCPConnection) async -> Int32 {
        await connection.close()
        return open("/dev/null", O_RDONLY | O_CLOEXEC)
    }

    private static func say(_ text: String) {
        print(text)
        fflush(nil)
    }
}
