// SPDX-License-Identifier: Apache-2.0
import Noria

/// The reading and writing forms, between two ends of one process.
enum Network {
    struct Frame {
        let kind: UInt8
        let text: String
        init(from cursor: inout ByteCursor) throws {
            kind = try cursor.readInteger()
            text = try cursor.readString(byteCount: Int(try cursor.readInteger(UInt16.self)))
        }
    }

    /// Runs `server` for one connection, and `client` at its other end.
    private static func pair(
        limits: StreamLimits? = nil,
        handlerExecutor: (any TaskExecutor)? = nil,
        _ server: @escaping @Sendable (TCPConnection) async throws -> Void,
        _ client: (TCPConnection) async throws -> Void
    ) async throws {
        let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0, limits: limits)
        let serving = Task {
            try await listener.serve { connection in
                guard let handlerExecutor else { return try await server(connection) }
                try await withTaskExecutorPreference(handlerExecutor) { @concurrent in
                    try await server(connection)
                }
            }
        }
        let port = listener.localAddress.port ?? 0
        try await withTCPConnection(host: "127.0.0.1", port: port) { try await client($0) }
        listener.stopAccepting()
        try await serving.value
    }

    static func run() {
        do {
            let outcome = try Runtime.run(NoriaProbe.configuration) { _ in
                try await pairs(handlerExecutor: nil)
                try await limits()
                try await cancelling()
                try await connecting()
                try await ipv6()
                try await readers()
            }
            print("ended: \(try outcome.value)")
        } catch { print("failed: \(error)") }
    }

    /// The forms; handlers run on their loop, or on `handlerExecutor`.
    static func pairs(handlerExecutor: (any TaskExecutor)?) async throws {
        try await lines(handlerExecutor)
        try await frames(handlerExecutor)
        try await counts(handlerExecutor)
        try await lent(handlerExecutor)
        try await halves(handlerExecutor)
    }

    private static func lines(_ handlerExecutor: (any TaskExecutor)?) async throws {
        try await pair(handlerExecutor: handlerExecutor) { connection in
            for try await line in connection.inbound.lines(limit: 10) {
                try await connection.outbound.write("<\(line)>")
            }
        } _: { client in
            try await client.outbound.write("one\r\ntw")
            try await client.outbound.flush()
            try await client.outbound.write("o\n\nlast")
            try await client.outbound.finish()
            print(
                "lines: \(String(decoding: try await client.inbound.readAll(limit: 100), as: UTF8.self))"
            )
        }
        try await pair(handlerExecutor: handlerExecutor) { connection in
            do { _ = try await connection.inbound.readLine(limit: 4) } catch let error
                as NetworkError
            {
                try await connection.outbound.write("\(error.kind)")
            }
        } _: { client in
            try await client.outbound.write("too long a line")
            print("long line: \(try await client.inbound.readLine() ?? "nil")")
        }
    }

    private static func frames(_ handlerExecutor: (any TaskExecutor)?) async throws {
        try await pair(handlerExecutor: handlerExecutor) { connection in
            while let frame = try await connection.inbound.readFrame(Frame.init(from:)) {
                try await connection.outbound.write("\(frame.kind)=\(frame.text);")
            }
        } _: { client in
            let bytes: [UInt8] = [7, 0, 2, 0x68, 0x69, 8, 0, 0, 9, 0, 1, 0x21]
            for byte in bytes {
                try await client.outbound.write([byte])
                try await client.outbound.flush()
                await Task.yield()
            }
            try await client.outbound.finish()
            print(
                "frames: \(String(decoding: try await client.inbound.readAll(limit: 100), as: UTF8.self))"
            )
        }
        try await pair(handlerExecutor: handlerExecutor) { connection in
            do {
                _ = try await connection.inbound.readFrame(Frame.init(from:))
            } catch let error as NetworkError {
                try await connection.outbound.write("\(error.kind)")
            }
        } _: { client in
            try await client.outbound.write([1, 0, 9, 1])
            try await client.outbound.finish()
            print("cut frame: \(try await client.inbound.readLine() ?? "nil")")
        }
    }

    private static func counts(_ handlerExecutor: (any TaskExecutor)?) async throws {
        try await pair(handlerExecutor: handlerExecutor) { connection in
            while let part = try await connection.inbound.read(exactly: 3) {
                try await connection.outbound.write(part.reversed())
            }
        } _: { client in
            try await client.outbound.write("abcdef")
            try await client.outbound.finish()
            print(
                "counts: \(String(decoding: try await client.inbound.readAll(limit: 100), as: UTF8.self))"
            )
        }
    }

    private static func lent(_ handlerExecutor: (any TaskExecutor)?) async throws {
        try await pair(handlerExecutor: handlerExecutor) { connection in
            while try await connection.inbound.withNext({ try connection.outbound.enqueue($0) })
                != nil
            {}
        } _: { client in
            try await client.outbound.write("lent")
            try await client.outbound.finish()
            print(
                "lent: \(String(decoding: try await client.inbound.readAll(limit: 100), as: UTF8.self))"
            )
        }
    }

    private static func halves(_ handlerExecutor: (any TaskExecutor)?) async throws {
        try await pair(handlerExecutor: handlerExecutor) { connection in
            try await connection.outbound.write("first")
            try await connection.outbound.finish()
            do { try await connection.outbound.write("more") } catch {
                print("write after finish: refused")
            }
            print("after finish: \(try await connection.inbound.readLine() ?? "nil")")
        } _: { client in
            print(
                "until end: \(String(decoding: try await client.inbound.readAll(limit: 100), as: UTF8.self))"
            )
            try await client.outbound.write("still heard\n")
        }
    }

    private static func limits() async throws {
        let small = StreamLimits(outboundByteCountLimit: 100_000)
        try await pair(limits: small) { connection in
            do {
                while true { try connection.outbound.enqueue([UInt8](repeating: 1, count: 50_000)) }
            } catch let error as NetworkError {
                print("full: \(error.kind) unsent=\(connection.outbound.unsentByteCount)")
            }
            connection.abort()
        } _: { client in
            do {
                _ = try await client.inbound.readAll(limit: 1 << 30)
                print("aborted: no error")
            } catch let error as NetworkError { print("aborted: \(error.kind)") }
        }
    }

    private static func cancelling() async throws {
        try await pair { connection in
            _ = try await connection.inbound.next()
            try await connection.outbound.write("kept")
        } _: { client in
            let reading = Task { try await client.inbound.next() }
            await Task.yield()
            reading.cancel()
            do { _ = try await reading.value } catch { print("cancelled read: \(error)") }
            try await client.outbound.write("go")
            let answer = try await client.inbound.next() ?? []
            print("after it: \(String(decoding: answer, as: UTF8.self))")
        }
    }

    private static func connecting() async throws {
        do {
            _ = try await TCPConnection.connect(host: "127.0.0.1", port: 1)
        } catch let error as NetworkError { print("refused: \(error)") }
        do {
            _ = try await TCPConnection.connect(host: "no name", port: 80)
        } catch let error as NetworkError { print("name: \(error.kind)") }
    }

    private static func ipv6() async throws {
        let listener = try await TCPListener.bind(host: "::1", port: 0)
        let serving = Task {
            try await listener.serve { try await $0.outbound.write(contentsOf: $0.inbound) }
        }
        try await withTCPConnection(host: "::1", port: listener.localAddress.port ?? 0) { client in
            try await client.outbound.write("six")
            try await client.outbound.finish()
            let text = String(decoding: try await client.inbound.readAll(limit: 100), as: UTF8.self)
            print("ipv6: \(text) from \(client.peerAddress.description.hasPrefix("[::1]:"))")
        }
        listener.stopAccepting()
        try await serving.value
    }

    private static func readers() async throws {
        try await pair { connection in
            for try await _ in connection.inbound {}
        } _: { client in
            let first = Task { try await client.inbound.next() }
            await Task.yield()
            do {
                _ = try await client.inbound.next()
            } catch let error as NetworkError { print("second reader: \(error.kind)") }
            first.cancel()
            _ = try? await first.value
        }
    }
}
