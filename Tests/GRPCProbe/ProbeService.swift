// SPDX-License-Identifier: Apache-2.0
#if GRPC
import GRPCCore
import Noria
import Synchronization

/// Messages of bytes, as they are.
struct RawBytes: MessageSerializer, MessageDeserializer {
    func serialize<Bytes: GRPCContiguousBytes>(_ message: [UInt8]) throws -> Bytes {
        Bytes(message)
    }

    func deserialize<Bytes: GRPCContiguousBytes>(_ bytes: Bytes) throws -> [UInt8] {
        bytes.withUnsafeBytes { Array($0) }
    }
}

/// A service of all four kinds of calls, without generated code.
struct ProbeService: RegistrableRPCService {
    static let name = ServiceDescriptor(fullyQualifiedService: "noria.Probe")

    private let cancelled = Cancelled()

    static func method(_ name: String) -> MethodDescriptor {
        MethodDescriptor(service: Self.name, method: name)
    }

    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
        unary("Echo", &router) { $0 }
        // On which loop it ran, twice, with a wait in between.
        unary("Loop", &router) { _ in
            let first = EventLoop.current
            await Task.yield()
            return Array("\(first.map { "\($0)" } ?? "none")|\(first === EventLoop.current)".utf8)
        }
        register("Slow", &router) { [cancelled] request, context in
            let message = try await ServerRequest(stream: request).message
            do {
                try await Self.sleep(Self.number(message), context)
            } catch {
                cancelled.add()
                // A `CancellationError` would be told as UNKNOWN, where it is faster than the peer.
                throw RPCError(
                    code: Task.isCancelled ? .deadlineExceeded : .cancelled,
                    message: "\(error)"
                )
            }
            return StreamingServerResponse(single: ServerResponse(message: message))
        }
        unary("Cancelled", &router) { [cancelled] _ in Array("\(cancelled.count)".utf8) }
        register("Count", &router) { request, _ in
            var (count, sum): (Int, UInt32) = (0, 0)
            for try await message in request.messages {
                count += message.count
                for byte in message { sum = sum &* 31 &+ UInt32(byte) }
            }
            let answer = Array("\(count) \(sum)".utf8)
            return StreamingServerResponse { writer in
                try await writer.write(answer)
                return [:]
            }
        }
        register("Bytes", &router) { request, _ in
            let count = Self.number(try await ServerRequest(stream: request).message)
            return StreamingServerResponse { writer in
                for position in stride(from: 0, to: count, by: 65_536) {
                    let end = min(position + 65_536, count)
                    try await writer.write((position..<end).map { UInt8($0 % 251) })
                }
                return [:]
            }
        }
        register("Chat", &router) { request, _ in
            StreamingServerResponse { writer in
                for try await message in request.messages { try await writer.write(message) }
                return [:]
            }
        }
    }

    /// Ends early when the call is cancelled, of which its task is not told, or its deadline passes,
    /// of which it is.
    @concurrent
    private static func sleep(_ milliseconds: Int, _ context: ServerContext) async throws {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await Task.sleep(for: .milliseconds(milliseconds))
                return true
            }
            group.addTask {
                try await context.cancellation.cancelled
                return false
            }
            defer { group.cancelAll() }
            if try await group.next() == false { throw CancellationError() }
        }
    }

    private static func number(_ message: [UInt8]) -> Int {
        Int(String(decoding: message, as: UTF8.self)) ?? 0
    }

    private func unary<Transport: ServerTransport>(
        _ name: String,
        _ router: inout RPCRouter<Transport>,
        _ answer: @escaping @Sendable @concurrent ([UInt8]) async throws -> [UInt8]
    ) {
        register(name, &router) { request, _ in
            let message = try await ServerRequest(stream: request).message
            return StreamingServerResponse(
                single: ServerResponse(message: try await answer(message))
            )
        }
    }

    private func register<Transport: ServerTransport>(
        _ name: String,
        _ router: inout RPCRouter<Transport>,
        _ handler:
            @escaping @Sendable @concurrent (
                StreamingServerRequest<[UInt8]>, ServerContext
            ) async throws -> StreamingServerResponse<[UInt8]>
    ) {
        router.registerHandler(
            forMethod: Self.method(name),
            deserializer: RawBytes(),
            serializer: RawBytes(),
            handler: handler
        )
    }
}

/// Calls whose task was cancelled while they waited.
private final class Cancelled: Sendable {
    private let value = Atomic<Int>(0)
    var count: Int { value.load(ordering: .relaxed) }
    func add() { value.wrappingAdd(1, ordering: .relaxed) }
}
#endif
