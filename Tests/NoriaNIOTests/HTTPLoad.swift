// SPDX-License-Identifier: Apache-2.0
#if NIO
import Glibc
import Synchronization
import TestSupport

/// Clients that never stop by themselves, and what they saw.
final class HTTPLoad: Sendable {
    private let port: Int
    private let state = Mutex((answers: 0, faults: [String]()))

    init(port: Int) { self.port = port }

    var answers: Int { state.withLock { $0.answers } }
    var faults: [String] { state.withLock { $0.faults } }

    private func answered() { state.withLock { $0.answers += 1 } }
    private func fault(_ text: String) { state.withLock { $0.faults.append(text) } }

    private static let request = Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8)

    /// Who comes late, on a busy machine, finds that nobody listens any more.
    private func converse(_ kind: String, _ body: (BlockingClient) throws -> Void) {
        do {
            let client = try BlockingClient(port: port)
            defer { client.close() }
            try body(client)
        } catch let error as BlockingClient.Failure where error.errno == ECONNREFUSED {
            return
        } catch { fault("\(kind): \(error)") }
    }

    func keepAlive() { converse("keep-alive") { client in while ask(client, "keep-alive") {} } }

    func connectAgain() {
        for _ in 0..<100_000 {
            do {
                let client = try BlockingClient(port: port)
                _ = ask(client, "connect")
                client.close()
            } catch let error as BlockingClient.Failure where error.errno == ECONNREFUSED {
                return
            } catch { return fault("connect: \(error)") }
        }
    }

    /// One request, and whether another may follow.
    private func ask(_ client: BlockingClient, _ kind: String) -> Bool {
        do {
            // A server that has ended takes it all the same, and answers by its end.
            try client.send(Self.request)
            guard let isLast = try answer(client, kind) else { return false }
            return !isLast
        } catch {
            fault("\(kind): \(error)")
            return false
        }
    }

    /// Reads one answer: nil when the end stands in its place, else whether it is the last.
    private func answer(_ client: BlockingClient, _ kind: String) throws -> Bool? {
        var text = ""
        while !text.hasSuffix("\r\n\r\nhello") {
            let piece = try client.receive(atMost: 1)
            if piece.isEmpty {
                if !text.isEmpty { fault("\(kind): cut: \(text)") }
                return nil
            }
            text += String(decoding: piece, as: UTF8.self)
        }
        answered()
        return text.contains("connection: close") || text.contains("Connection: close")
    }

    /// Several requests on their way; those behind the last answer meet the end.
    func pipeline() {
        converse("pipelined") { client in
            while true {
                try client.send(Array(repeating: Self.request, count: 5).flatMap(\.self))
                for _ in 0..<5 {
                    guard let isLast = try answer(client, "pipelined"), !isLast else { return }
                }
            }
        }
    }

    /// Long answers: what was begun must come whole.
    func stream() {
        converse("streamed") { client in
            let count = 3_000_000
            while true {
                try client.send(Array("GET /bytes/\(count) HTTP/1.1\r\nHost: x\r\n\r\n".utf8))
                var head: [UInt8] = []
                while !head.suffix(4).elementsEqual("\r\n\r\n".utf8) {
                    let piece = try client.receive(atMost: 1)
                    guard !piece.isEmpty else {
                        if !head.isEmpty { fault("streamed: the head is cut") }
                        return
                    }
                    head += piece
                }
                let body = try client.receive(exactly: count)
                guard body.count == count else {
                    return fault("streamed: \(body.count) of \(count)")
                }
                answered()
                let text = String(decoding: head, as: UTF8.self).lowercased()
                if text.contains("connection: close") { return }
            }
        }
    }
}
#endif
