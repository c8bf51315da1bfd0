// SPDX-License-Identifier: Apache-2.0
import NoriaSystem
import Synchronization
import TestSupport
import Testing

@testable import Noria

@Suite("Names")
struct NameTests {
    @Test("what is a literal, a name, or neither")
    func literals() throws {
        #expect(try Resolver.literal("127.0.0.1", port: 80)?.description == "127.0.0.1:80")
        #expect(try Resolver.literal("::1", port: 80)?.description == "[::1]:80")
        for name in ["localhost", "example.com.", "a-b_c.d", String(repeating: "a", count: 63)] {
            #expect(try Resolver.literal(name, port: 0) == nil)
        }
        let wrong = [
            "", ".", "a..b", "1.2.3", "256.0.0.1", ":::1", "two words", "sl/ash", "nul\0l", "ü.de",
            String(repeating: "a", count: 64), String(repeating: "a.", count: 127) + "aa",
        ]
        for name in wrong {
            let error = #expect(throws: NetworkError.self, "\(name)") {
                try Resolver.literal(name, port: 80)
            }
            #expect(error?.kind == .badAddress)
        }
        let port = #expect(throws: NetworkError.self) {
            try Resolver.literal("localhost", port: 65_536)
        }
        #expect(port?.kind == .badAddress)
    }

    @Test("the families take turns, the preferred one first, each in its order")
    func order() throws {
        func addresses(_ hosts: [String]) throws -> [SocketAddress] {
            try hosts.map { try SocketAddress.ip($0, port: 1) }
        }
        let found = try addresses(["::1", "::2", "::3", "10.0.0.1", "10.0.0.2"])
        let expected = try addresses(["::1", "10.0.0.1", "::2", "10.0.0.2", "::3"])
        #expect(HappyEyeballs.order(found) == expected)
        #expect(HappyEyeballs.order(found.reversed()).first == found.last)
        #expect(HappyEyeballs.order([]).isEmpty)
    }
}

extension EmbeddingTests {
    @Test("a name is looked up off the loop; a literal is not", arguments: settings)
    func names(setting: Setting) async throws {
        try await withRuntime(setting.configuration) { runtime in
            let found = try await runtime.resolver.addresses(of: "localhost", port: 80)
            #expect(!found.isEmpty)
            #expect(found.allSatisfy { ["127.0.0.1:80", "[::1]:80"].contains($0.description) })
            let literal = try await runtime.resolver.addresses(of: "10.1.2.3", port: 5)
            #expect(literal.map(\.description) == ["10.1.2.3:5"])
            let unknown = await #expect(throws: NetworkError.self) {
                try await runtime.resolver.addresses(of: "nowhere.invalid", port: 80)
            }
            #expect(unknown?.description.contains("look up 'nowhere.invalid'") == true)
            // Nobody of the program's pool was asked.
            #expect(runtime.blocking.snapshot().completed == 0)
        }
    }

    @Test("a listener and a connection take names", arguments: settings)
    func namedConnection(setting: Setting) async throws {
        try await withRuntime(setting.configuration) { runtime in
            let listener = try await TCPListener.bind(host: "localhost", port: 0)
            let port = listener.localAddress.port ?? 0
            runtime.spawn(name: "server") {
                try await listener.serve { try await $0.outbound.write(contentsOf: $0.inbound) }
            }
            let text = try await withTCPConnection(host: "localhost", port: port) { connection in
                try await connection.outbound.write("by name\n")
                return try await connection.inbound.readLine()
            }
            #expect(text == "by name")
            await listener.close()
            // It has one address or two; each refuses by now.
            let error = await #expect(throws: NetworkError.self) {
                try await TCPConnection.connect(host: "localhost", port: port)
            }
            #expect(error?.kind == .refused)
        }
    }

    /// What became of each attempt, in order.
    private final class Attempts: Sendable {
        private let begun = Locked<[String]>([])
        private let ended = Locked<[String]>([])
        func begin(_ address: SocketAddress) { begun.withLock { $0.append("\(address)") } }
        func end(_ address: SocketAddress) { ended.withLock { $0.append("\(address)") } }
        var log: ([String], [String]) { (begun.withLock { $0 }, ended.withLock { $0 }) }
    }

    @Test("a silent address costs 250 ms, one that refuses nothing", arguments: settings)
    func happyEyeballs(setting: Setting) async throws {
        try await withRuntime(setting.configuration) { runtime in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let there = listener.localAddress
            runtime.spawn(name: "server") { try await listener.serve { _ in } }
            let silent = try SocketAddress.ip("::1", port: 1)
            let refusing = try SocketAddress.ip("127.0.0.1", port: 1)
            let attempts = Attempts()
            @Sendable func attempt(_ address: SocketAddress) async throws -> StreamChannel {
                attempts.begin(address)
                defer { attempts.end(address) }
                if address == silent { try await Task.sleep(for: .seconds(3600)) }
                return try await Connector.connect(to: address, timeout: .seconds(10))
            }
            let begin = ContinuousClock.now
            let channel = try await HappyEyeballs.connect(
                to: "test",
                [silent, there],
                attempt
            )
            let length = ContinuousClock.now - begin
            #expect(length >= HappyEyeballs.delay)
            #expect(channel.peerAddress == there)
            await channel.close()
            #expect(attempts.log.0 == ["\(silent)", "\(there)"])
            // The silent one was given up.
            #expect(Set(attempts.log.1) == ["\(silent)", "\(there)"])

            let other = try await HappyEyeballs.connect(
                to: "test",
                [refusing, refusing, there],
                attempt
            )
            #expect(other.peerAddress == there)
            await other.close()

            let error = await #expect(throws: NetworkError.self) {
                try await HappyEyeballs.connect(to: "test", [refusing, refusing], attempt)
            }
            #expect(error?.kind == .refused)
            #expect(error?.causes.count == 2)
            #expect(error?.description.contains("connect to 'test'") == true)

            let task = Task {
                try await HappyEyeballs.connect(to: "test", [silent, silent], attempt)
            }
            task.cancel()
            await #expect(throws: CancellationError.self) { _ = try await task.value }
        }
    }
}
