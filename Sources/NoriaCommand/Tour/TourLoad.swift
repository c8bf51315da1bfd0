// SPDX-License-Identifier: Apache-2.0
import Noria
import NoriaSystem

/// Clients of an echo server, which expect the same bytes back.
///
/// They live on the tour's loop. A fault is what no client may see: other bytes, part of an answer,
/// a reset, an end without an answer to what was sent before the server was told to end. Later than
/// that such an end is none: the server had said goodbye.
final class TourLoad: Sendable {
    struct Tally: Sendable {
        var answers = 0
        var ends = 0
        var faults: [String] = []
        fileprivate var isEnding = false

        var text: String {
            faults.isEmpty ? "no fault" : "\(faults.count) faults, the first: \(faults[0])"
        }
    }

    private let port: Int
    private let byteCount: Int
    private let state = Guarded(Tally())

    var tally: Tally { state.withLock { $0 } }

    init(port: Int, byteCount: Int) {
        self.port = port
        self.byteCount = byteCount
    }

    /// To be called before the server is told: from then on it owes no answer to what is sent.
    func serverWillEnd() { state.withLock { $0.isEnding = true } }

    /// Sends and expects, one message after the other, until the server or the limit ends it.
    func talk(
        _ client: Int,
        messages: Int = .max,
        until end: ContinuousClock.Instant? = nil
    ) async {
        do {
            try await withTCPConnection(host: "127.0.0.1", port: port) { connection in
                for number in 0..<messages {
                    if let end, ContinuousClock.now >= end { return }
                    guard try await self.converse(connection, client, number) else { return }
                }
            }
        } catch { fault("\(error)") }
    }

    /// Whether the answer came whole; false when the server has ended the connection.
    private func converse(
        _ connection: TCPConnection,
        _ client: Int,
        _ number: Int
    ) async throws -> Bool {
        var message = [UInt8](repeating: UInt8(truncatingIfNeeded: client), count: byteCount)
        for index in 0..<min(8, byteCount) {
            message[index] = UInt8(truncatingIfNeeded: number >> (8 * index))
        }
        do {
            try await connection.outbound.write(message)
            // Handed to the kernel, and so it can be answered.
            try await connection.outbound.flush()
        } catch let error as NetworkError
            where error.kind == .closed
        {
            // The end was there before the message was written.
            state.withLock { $0.ends += 1 }
            return false
        }
        let isOwed = !state.withLock { $0.isEnding }
        guard let answer = try await connection.inbound.read(exactly: byteCount) else {
            if isOwed {
                fault("client \(client): no answer to message \(number), sent before the end")
            }
            state.withLock { $0.ends += 1 }
            return false
        }
        guard answer == message else {
            fault("client \(client), message \(number): not the bytes that were sent")
            return false
        }
        state.withLock { $0.answers += 1 }
        return true
    }

    private func fault(_ text: String) {
        guard !Task.isCancelled else { return }
        state.withLock { if $0.faults.count < 100 { $0.faults.append(text) } }
    }
}
