// SPDX-License-Identifier: Apache-2.0
import NoriaEngine
import NoriaSystem
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import Noria

/// A kernel whose word on a receive that is cancelled is a byte, which was faster; later cancels
/// are obeyed.
private final class LateBackend: ForwardingBackend {
    private var receiving: Token?
    private var lateByteCount: Int

    init(_ base: any Backend, lateByteCount: Int) {
        self.lateByteCount = lateByteCount
        super.init(base)
    }

    override func submit(_ submission: Submission, token: Token) -> Completion? {
        switch submission.kind {
        case .receive:
            receiving = token
            return nil
        case .send, .sendParts, .sendNow:
            return Completion(token: token, result: Int32(submission.byteCount))
        case .accept, .connect, .watch, .room, .readFile, .writeFile, .syncFile:
            return super.submit(submission, token: token)
        }
    }

    override func cancel(_ token: Token, kind: Submission.Kind, descriptor: Int32) {
        guard receiving == token else { return }
        receiving = nil
        guard lateByteCount > 0 else {
            return answers.append(Completion(token: token, result: -Errno.canceled.rawValue))
        }
        lateByteCount -= 1
        answers.append(Completion(token: token, result: 1, buffer: buffers.take()))
    }
}

@Suite("What ends a wait is not lost when bytes are faster, and does not outlive them")
struct StreamInterruptions {
    /// Runs `body` on a loop over such a kernel, with one connection.
    private static func run(
        lateByteCount: Int = 1,
        limits: StreamLimits = StreamLimits(),
        _ body: @escaping @Sendable (StreamChannel) async -> String
    ) throws -> String {
        let listener = try Socket.stream(isIPv6: false)
        defer { Descriptor.close(listener) }
        try Socket.bind(listener, to: SocketAddress("127.0.0.1:0").storage)
        try Socket.listen(listener, backlog: 1)
        let address = SocketAddress(try Socket.localAddress(of: listener))
        let far = try BlockingClient(port: address.port ?? 0)
        defer { far.close() }
        let near = Int32(Socket.accept(listener))
        let loop = try EventLoop(index: 1)
        let isDone = Gate()
        let isEnded = Gate()
        let result = Locked("")
        // A close is not the subject, and must not wait for the far end.
        var limits = limits
        limits.lingerTimeout = .zero
        try Thread.start {
            guard let base = BackendSelection.make([.epoll], bufferCapacity: 4).backend else {
                return
            }
            let backend = LateBackend(base, lateByteCount: lateByteCount)
            guard (try? loop.begin(engine: Engine(backend: backend))) != nil else { return }
            Task(executorPreference: loop.taskExecutor) { @Sendable [limits] in
                let channel = try StreamChannel(
                    near,
                    on: loop,
                    limits: limits,
                    options: SocketOptions()
                )
                let text = await body(channel)
                // The descriptor is the channel's: a body may have closed it already, and the number
                // be another test's by now.
                await channel.close()
                result.withLock { $0 = text }
                isDone.pass()
            }
            loop.run(TurnBudget())
            loop.end()
            isEnded.pass()
        }
        try isDone.wait(for: "the body's end")
        loop.post { loop.finish() }
        try isEnded.wait(for: "the loop's end")
        return result.withLock { $0 }
    }

    private static func outcome(_ body: () async throws -> Int) async -> String {
        do { return "\(try await body())" } catch let error as NetworkError {
            return "\(error.kind)"
        } catch { return "\(error)" }
    }

    @Test("A cancelled task that forwards ends, although the byte is forwarded")
    func forwarding() throws {
        let text = try Self.run { channel in
            let task = Task(executorPreference: channel.loop.taskExecutor) {
                await Self.outcome {
                    try await channel.run {
                        let inbound = InboundBytes(channel: channel)
                        return try await OutboundBytes(channel: channel)
                            .write(contentsOf: inbound)
                    }
                }
            }
            while channel.receiveToken == nil { await Task.yield() }
            task.cancel()
            return await task.value
        }
        #expect(text == "CancellationError()")
    }

    @Sendable private func reading(_ channel: StreamChannel) -> Task<String, Never> {
        // The test blocks a thread of the default executor.
        Task(executorPreference: channel.loop.taskExecutor) {
            await Self.outcome {
                try await InboundBytes(channel: channel).next()?.count ?? 0
            }
        }
    }

    @Test("A reader that was cancelled too late keeps the next from nothing")
    func reading() throws {
        let text = try Self.run { channel in
            let first = reading(channel)
            while channel.receiveToken == nil { await Task.yield() }
            first.cancel()
            let one = await first.value
            let second = reading(channel)
            while channel.receiveToken == nil { await Task.yield() }
            second.cancel()
            return "\(one), \(await second.value)"
        }
        #expect(text == "1, CancellationError()")
    }

    @Test("A stream is not idle whose byte comes with the end of its time")
    func idle() throws {
        let limits = StreamLimits(idleTimeout: .milliseconds(20))
        let text = try Self.run(limits: limits) { channel in
            let inbound = InboundBytes(channel: channel)
            let one = await Self.outcome { try await inbound.next()?.count ?? 0 }
            let two = await Self.outcome { try await inbound.next()?.count ?? 0 }
            return "\(one), \(two)"
        }
        #expect(text == "1, timedOut")
    }
}
