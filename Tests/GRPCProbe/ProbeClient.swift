// SPDX-License-Identifier: Apache-2.0
#if GRPC
import GRPCCore
import GRPCNIOTransportHTTP2Posix

/// gRPC Swift's own client over SwiftNIO's own loops: all four kinds, many calls, large messages, a
/// deadline and a cancellation.
struct ProbeClient: Sendable {
    let port: Int

    private typealias Client = GRPCClient<HTTP2ClientTransport.Posix>

    private struct Fault: Error, CustomStringConvertible {
        let description: String
    }

    func run() async throws {
        let transport = try HTTP2ClientTransport.Posix(
            target: .ipv4(address: "127.0.0.1", port: port),
            transportSecurity: .plaintext
        )
        try await withGRPCClient(transport: transport) { client in
            try await kinds(client)
            try await many(client)
            try await limits(client)
        }
        print("all answered")
    }

    private func check(_ condition: Bool, _ what: @autoclosure () -> String) throws {
        if !condition { throw Fault(description: what()) }
    }

    private func unary(
        _ client: Client,
        _ name: String,
        _ message: [UInt8],
        timeout: Duration? = nil
    ) async throws -> [UInt8] {
        var options = CallOptions.defaults
        options.timeout = timeout
        return try await client.unary(
            request: ClientRequest(message: message),
            descriptor: ProbeService.method(name),
            serializer: RawBytes(),
            deserializer: RawBytes(),
            options: options
        ) { try $0.message }
    }

    private func kinds(_ client: Client) async throws {
        let hello = Array("hello".utf8)
        try check(try await unary(client, "Echo", hello) == hello, "unary")
        let large = (0..<(4 << 20)).map { UInt8($0 % 251) }
        try check(try await unary(client, "Echo", large) == large, "4 MiB")
        let pieces = (0..<100).map { index in [UInt8](repeating: UInt8(index), count: 1000) }
        let sum = pieces.joined().reduce(UInt32(0)) { $0 &* 31 &+ UInt32($1) }
        let counted = try await client.clientStreaming(
            request: StreamingClientRequest { writer in
                for piece in pieces { try await writer.write(piece) }
            },
            descriptor: ProbeService.method("Count"),
            serializer: RawBytes(),
            deserializer: RawBytes(),
            options: .defaults
        ) { try $0.message }
        try check(String(decoding: counted, as: UTF8.self) == "100000 \(sum)", "client streaming")
        let received = try await client.serverStreaming(
            request: ClientRequest(message: Array("1000000".utf8)),
            descriptor: ProbeService.method("Bytes"),
            serializer: RawBytes(),
            deserializer: RawBytes(),
            options: .defaults
        ) { response in
            var bytes: [UInt8] = []
            for try await message in response.messages { bytes += message }
            return bytes
        }
        try check(
            received.count == 1_000_000
                && received.indices.allSatisfy { received[$0] == UInt8($0 % 251) },
            "server streaming"
        )
        let echoed = try await client.bidirectionalStreaming(
            request: StreamingClientRequest { writer in
                for piece in pieces { try await writer.write(piece) }
            },
            descriptor: ProbeService.method("Chat"),
            serializer: RawBytes(),
            deserializer: RawBytes(),
            options: .defaults
        ) { response in
            var messages: [[UInt8]] = []
            for try await message in response.messages { messages.append(message) }
            return messages
        }
        try check(echoed == pieces, "bidirectional streaming")
    }

    /// 10,000 calls, 50 at a time.
    private func many(_ client: Client) async throws {
        let answered = try await withThrowingTaskGroup(of: Int.self) { group in
            for worker in 0..<50 {
                group.addTask {
                    for index in 0..<200 {
                        let message = Array("\(worker) \(index)".utf8)
                        try check(try await unary(client, "Echo", message) == message, "many")
                    }
                    return 200
                }
            }
            return try await group.reduce(0, +)
        }
        try check(answered == 10_000, "10,000 calls")
    }

    private func limits(_ client: Client) async throws {
        do {
            _ = try await unary(client, "Slow", Array("60000".utf8), timeout: .milliseconds(200))
            throw Fault(description: "a deadline did not end its call")
        } catch let error as RPCError {
            try check(error.code == .deadlineExceeded, "deadline: \(error)")
        }
        let call = Task { try await unary(client, "Slow", Array("60000".utf8)) }
        try await Task.sleep(for: .milliseconds(100))
        call.cancel()
        try check((try? await call.value) == nil, "a cancelled call was answered")
        // Both are cancelled at the server, which may hear of it a little later.
        for _ in 0..<500 {
            let count = try await unary(client, "Cancelled", [])
            if String(decoding: count, as: UTF8.self) == "2" { return }
            try await Task.sleep(for: .milliseconds(10))
        }
        throw Fault(description: "the server's calls were not cancelled")
    }
}
#endif
