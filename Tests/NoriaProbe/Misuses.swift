// SPDX-License-Identifier: Apache-2.0
import Noria

/// What hostile reviewers did to connections and listeners, each with what has to come of it.
enum Misuses {
    /// A connection of a run that has ended.
    private static nonisolated(unsafe) var kept: TCPConnection?

    static func run() {
        do {
            let first = try Runtime.run(NoriaProbe.configuration) { _ in
                try await finishBesideWriter()
                try await secondServe()
                try await secondReader()
                try await closeWhileAccepting()
                try await cancelledClose()
                try await strangersWrite()
                try await slowPeer()
                kept = try await pair { _ in }
            }
            if case .failure(let error) = first.result { print("failed: \(error)") }
            let outcome = try Runtime.run(NoriaProbe.configuration) { _ in
                do { _ = try await kept?.inbound.next() } catch {
                    print("kept: \(kind(of: error))")
                }
            }
            print("ended: \(outcome.report.exitCode.rawValue)")
        } catch { print("failed: \(error)") }
    }

    private static func kind(of error: any Error) -> String {
        (error as? NetworkError).map { "\($0.kind)" } ?? "\(error)"
    }

    /// Starts a server for one connection; its client.
    private static func pair(
        options: SocketOptions? = nil,
        limits: StreamLimits? = nil,
        _ handler: @escaping @Sendable (TCPConnection) async throws -> Void
    ) async throws -> TCPConnection {
        let listener = try await TCPListener.bind(
            host: "127.0.0.1",
            port: 0,
            options: options,
            limits: limits
        )
        Task {
            try await listener.serve { connection in
                listener.stopAccepting()
                try await handler(connection)
            }
        }
        return try await TCPConnection.connect(
            host: "127.0.0.1",
            port: listener.localAddress.port ?? 0
        )
    }

    /// More than both kernels' buffers take.
    private static let answer = [UInt8](repeating: 7, count: 4_000_000)
    /// Not smaller: the kernel would wait for each of its segments, which are large on loopback.
    private static let small = SocketOptions(sendBufferByteCount: 262_144)
    private static let roomy = StreamLimits(
        outboundByteCountLimit: 8_000_000,
        lingerTimeout: .milliseconds(200)
    )

    private static func finishBesideWriter() async throws {
        let client = try await pair(options: small) { connection in
            let writer = Task.immediate {
                while true { try await connection.outbound.write(answer) }
            }
            let finisher = Task.immediate { try await connection.outbound.finish() }
            do { try await writer.value } catch { print("writer: \(kind(of: error))") }
            try await finisher.value
        }
        let count = try await client.inbound.readAll(limit: .max).count
        print("finished: \(count > 0 && count % answer.count == 0)")
        await client.close()
    }

    private static func secondServe() async throws {
        let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
        let first = Task.immediate { try await listener.serve { _ in } }
        do { try await listener.serve { _ in } } catch { print("second serve: \(kind(of: error))") }
        await listener.close()
        try await first.value
    }

    private static func secondReader() async throws {
        let client = try await pair { connection in
            // The first five of ten come with the line, so they are ours when the first form waits.
            _ = try await connection.inbound.readLine()
            let first = Task.immediate { try await connection.inbound.read(exactly: 10) }
            do { _ = try await connection.inbound.next() } catch {
                print("second reader: \(kind(of: error))")
            }
            try await connection.outbound.write("more\n")
            print("first reader: \(try await first.value?.count ?? 0)")
        }
        try await client.outbound.write("line\n12345")
        _ = try await client.inbound.readLine()
        try await client.outbound.write("67890")
        _ = try await client.inbound.readAll(limit: 10)
        await client.close()
    }

    private static func closeWhileAccepting() async throws {
        var port = 0
        for _ in 0..<50 {
            // The port is free at once, each time.
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: port)
            port = listener.localAddress.port ?? 0
            let serving = Task.immediate { try await listener.serve { _ in } }
            await listener.close()
            try await serving.value
        }
        print("closed while accepting: 50")
    }

    private static func cancelledClose() async throws {
        let client = try await pair(options: small, limits: roomy) { connection in
            try connection.outbound.enqueue(answer)
            withUnsafeCurrentTask { $0?.cancel() }
        }
        print("after a cancel: \(try await client.inbound.readAll(limit: .max).count)")
        await client.close()
    }

    /// Cancelling the handler's task is no business of a task beside it.
    private static func strangersWrite() async throws {
        let client = try await pair(options: small, limits: roomy) { connection in
            let stranger = Task.immediate { try await connection.outbound.write(answer) }
            withUnsafeCurrentTask { $0?.cancel() }
            do {
                try await stranger.value
                print("stranger: done")
            } catch { print("stranger: \(error)") }
        }
        _ = try await client.inbound.readAll(limit: .max)
        await client.close()
    }

    private static func slowPeer() async throws {
        let client = try await pair(options: small, limits: roomy) { connection in
            try connection.outbound.enqueue(answer)
        }
        // Five times the time that the close waits for an end: the pause is the subject here.
        try await Task.sleep(for: .seconds(1))
        print("after a pause: \(try await client.inbound.readAll(limit: .max).count)")
        await client.close()
    }
}
