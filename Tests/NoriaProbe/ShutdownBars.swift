// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// Servers whose end is measured or met in mid-request.
enum ShutdownBars {
    private static func say(_ text: String) {
        print(text)
        fflush(nil)
    }

    /// Echoes, and has COUNT tasks that wait for the shutdown.
    static func crowd() {
        let count = CommandLine.arguments.last.flatMap { Int($0) } ?? 0
        Runtime.main { runtime in
            for number in 0..<count {
                runtime.spawn(name: "waiter \(number)") { try await runtime.shutdown.requested() }
            }
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            say("listening on \(listener.localAddress)")
            try await listener.serve { connection in
                try await connection.outbound.write(contentsOf: connection.inbound)
            }
        }
    }

    /// Returns, and leaves COUNT plain tasks behind.
    static func leftBehind() {
        let count = CommandLine.arguments.last.flatMap { Int($0) } ?? 0
        do {
            let outcome = try Runtime.run(NoriaProbe.configuration) { _ in
                for _ in 0..<count { Task { try await Task.sleep(for: .seconds(3600)) } }
            }
            say("cancelled: \(outcome.report.cancelled)")
            let again = try Runtime.run(NoriaProbe.configuration) { $0.tasks().count }
            say("alive: \(try again.value - 1)")
        } catch { say("failed: \(error)") }
    }

    /// Reads a request of 1,000 bytes in one of the ways, `FORM HOST`, and answers with it.
    static func form() {
        let words = CommandLine.arguments.dropFirst(2)
        guard let form = words.first, let host = words.last else { return }
        Runtime.main { _ in
            let listener = try await TCPListener.bind(host: host, port: 0)
            say("listening on \(listener.localAddress)")
            try await listener.serve { connection in
                while let request = try await read(form, connection.inbound) {
                    try await connection.outbound.write(request)
                }
            }
        }
    }

    private static func read(_ form: String, _ inbound: InboundBytes) async throws -> [UInt8]? {
        switch form {
        case "exact": return try await inbound.read(exactly: 1000)
        case "line": return try await inbound.readLine().map { Array("\($0)\n".utf8) }
        case "frame":
            return try await inbound.readFrame { cursor in
                let bytes = try cursor.readBytes(1000)
                return (0..<bytes.byteCount).map {
                    bytes.unsafeLoad(fromByteOffset: $0, as: UInt8.self)
                }
            }
        case "all":
            let bytes = try await inbound.readAll(limit: 1000)
            return bytes.isEmpty ? nil : bytes
        default:
            // An upload in pieces, which the program counts itself.
            var request: [UInt8] = []
            while request.count < 1000 {
                guard let piece = try await inbound.next() else { return nil }
                request += piece
            }
            return request
        }
    }
}
