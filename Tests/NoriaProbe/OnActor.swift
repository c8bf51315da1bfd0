// SPDX-License-Identifier: Apache-2.0
import Noria

/// Streams used from code of an actor that lives on the loop: each wait that can be cancelled
/// changes the executor twice, and with one job a turn the kernel is looked at in between.
@MainActor
enum OnActor {
    nonisolated static func run() {
        do {
            let outcome = try Runtime.run(NoriaProbe.configuration) { _ in try await echo() }
            print("ended: \(try outcome.value)")
        } catch { print("failed: \(error)") }
    }

    private static func echo() async throws {
        let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
        let serving = Task { @MainActor in
            try await listener.serve { connection in
                while let chunk = try await connection.inbound.next() {
                    try await connection.outbound.write(chunk)
                }
            }
        }
        let port = listener.localAddress.port ?? 0
        for round in 0..<50 {
            let client = try await TCPConnection.connect(host: "127.0.0.1", port: port)
            for message in 0..<4 {
                let sent = [UInt8](repeating: UInt8(round + message), count: 1 + 20_000 * message)
                try await client.outbound.write(sent)
                try await client.outbound.flush()
                // A child, since the connection has no owner that hears of its cancellation.
                async let received = client.inbound.read(exactly: sent.count)
                guard try await received == sent else { return print("round \(round): differs") }
            }
            let reading = Task { try await client.inbound.next() }
            await Task.yield()
            reading.cancel()
            do {
                _ = try await reading.value
                print("round \(round): the cancelled read ended")
            } catch is CancellationError {}
            MainActor.assertIsolated()
            await client.close()
        }
        print("echoed: 200")
        do {
            _ = try await withTCPConnection(host: "127.0.0.1", port: 1) { _ in }
        } catch let error as NetworkError { print("refused: \(error.kind)") }
        listener.stopAccepting()
        try await serving.value
    }
}
