// SPDX-License-Identifier: Apache-2.0
import NoriaEngine
import NoriaSystem
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import Noria

/// A kernel that has every answer at once, so that nobody who asks it ever has to wait: a byte for
/// each of 1,280 receives, then the end.
private final class EagerBackend: ForwardingBackend {
    static let byteCount = 1280
    private var receiveCount = 0

    override func submit(_ submission: Submission, token: Token) -> Completion? {
        switch submission.kind {
        case .receive:
            receiveCount += 1
            guard receiveCount <= Self.byteCount else { return Completion(token: token, result: 0) }
            return Completion(token: token, result: 1, buffer: buffers.take())
        case .send, .sendParts, .sendNow:
            return Completion(token: token, result: Int32(submission.byteCount))
        case .accept, .connect, .watch, .room, .readFile, .writeFile, .syncFile:
            return super.submit(submission, token: token)
        }
    }
}

private final class Turns: Sendable {
    let count = Atomic<Int>(0)
    let countAtEnd = Atomic<Int>(0)
    func end() { countAtEnd.store(count.load(ordering: .relaxed), ordering: .relaxed) }
}

@Suite("a task that never has to wait")
struct OperationBudget {
    enum Work: CaseIterable { case reads, readsAsOwner, writes, forwards }

    @Test("lets the loop turn after 128 operations", arguments: Work.allCases)
    func lets(work: Work) throws {
        let listener = try Socket.stream(isIPv6: false)
        defer { Descriptor.close(listener) }
        try Socket.bind(listener, to: SocketAddress("127.0.0.1:0").storage)
        try Socket.listen(listener, backlog: 1)
        let address = SocketAddress(try Socket.localAddress(of: listener))
        let far = try BlockingClient(port: address.port ?? 0)
        defer { far.close() }
        let near = Int32(Socket.accept(listener))
        let loop = try EventLoop(index: 1)
        let isEnded = Gate()
        let isDone = Gate()
        let turns = Turns()
        try Thread.start {
            guard let base = BackendSelection.make([.epoll], bufferCapacity: 4).backend,
                (try? loop.begin(engine: Engine(backend: EagerBackend(base)))) != nil
            else { return }
            // It is queued again as it runs, and so runs once a turn.
            @Sendable func count() {
                turns.count.wrappingAdd(1, ordering: .relaxed)
                loop.post { count() }
            }
            Task(executorPreference: loop.taskExecutor) { @Sendable in
                let channel = try StreamChannel(
                    near,
                    on: loop,
                    limits: StreamLimits(),
                    options: SocketOptions()
                )
                let inbound = InboundBytes(channel: channel)
                let outbound = OutboundBytes(channel: channel)
                count()
                switch work {
                case .reads: while try await inbound.withNext({ _ in }) != nil {}
                case .readsAsOwner:
                    try await channel.run {
                        while try await inbound.withNext({ _ in }) != nil {}
                    }
                case .writes:
                    let bytes = [UInt8](repeating: 0, count: 100_000)
                    for _ in 0..<EagerBackend.byteCount { try await outbound.write(bytes) }
                case .forwards: try await outbound.write(contentsOf: inbound)
                }
                turns.end()
                isDone.pass()
            }
            loop.run(TurnBudget())
            loop.end()
            isEnded.pass()
        }
        try isDone.wait(for: "1,280 operations")
        loop.post { loop.finish() }
        try isEnded.wait(for: "the loop's end")
        let count = turns.countAtEnd.load(ordering: .relaxed)
        // The first count may come a turn late.
        #expect(count >= 9, "1,280 operations took \(count) turns")
    }
}
