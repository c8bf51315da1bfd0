// SPDX-License-Identifier: Apache-2.0
import Noria
import NoriaEngine
import NoriaSystem
import Synchronization
import TestSupport
import Testing

/// Nothing is taken over, so the test process itself embeds them: one at a time.
@Suite("a runtime embedded in a program with a main of its own", .serialized)
struct EmbeddingTests {
    struct Setting: CustomStringConvertible, Sendable {
        let backend: BackendKind
        let loopCount: Int
        var description: String { "\(backend), \(loopCount) loops" }
        var configuration: RuntimeConfiguration {
            .production.with {
                $0.backend = .require(backend)
                $0.loops.count = loopCount
                $0.shutdown.deadline = .seconds(5)
            }
        }
    }

    /// Over every backend that can be had.
    ///
    /// The environment stands over a program's configuration: what it names is all there is.
    static let settings: [Setting] = {
        var kinds: [BackendKind] = [.ioUring, .epoll, .poll].filter { kind in
            let isThere = BackendSelection.make([kind]).0 != nil
            if !isThere { print("skipped: \(kind) can't be had on this machine") }
            return isThere
        }
        switch Thread.environment("NORIA_BACKEND") {
        case nil, "": break
        case "automatic": kinds = [BackendKind](kinds.prefix(1))
        case let name: kinds.removeAll { $0.rawValue != name }
        }
        let counts = Thread.environment("NORIA_LOOPS").flatMap(Int.init).map { [$0] } ?? [1, 2]
        return kinds.flatMap { kind in counts.map { Setting(backend: kind, loopCount: $0) } }
    }()

    struct Mistake: Error, Equatable {}

    /// Runs what blocks on a plain thread, so that the pool's few stay free.
    private func onThread<Value: Sendable>(
        _ body: @escaping @Sendable () throws -> Value
    ) async throws -> Value {
        let result: Result<Value, any Error> = await withUnsafeContinuation { continuation in
            do { try Thread.start { continuation.resume(returning: Result { try body() }) } } catch
            {
                continuation.resume(returning: .failure(error))
            }
        }
        return try result.get()
    }

    @concurrent private static func place() async -> Int? { EventLoop.current?.index }

    // MARK: Where it runs

    @Test("the body runs on the first loop, which is nobody's main thread", arguments: settings)
    func places(setting: Setting) async throws {
        var seen: [Int?] = []
        let threadID = try await withRuntime(setting.configuration) { runtime in
            #expect(Runtime.current === runtime)
            #expect(runtime.backend.kind == setting.backend)
            #expect(runtime.eventLoops.count == setting.loopCount)
            seen.append(EventLoop.current?.index)
            seen.append(await Self.place())
            try await Task.sleep(for: .milliseconds(1))
            seen.append(EventLoop.current?.index)
            async let child = Self.place()
            seen.append(await child)
            await withTaskGroup(of: Int?.self) { group in
                group.addTask { EventLoop.current?.index }
                for await place in group { seen.append(place) }
            }
            // Not inherited: it runs where the program's tasks run.
            let plain = await Task { EventLoop.current?.index }.value
            #expect(plain == nil)
            #expect(await MainActor.run { EventLoop.current == nil })
            return Thread.id
        }
        #expect(seen == [0, 0, 0, 0, 0])
        #expect(threadID != Thread.processID)
        #expect(EventLoop.current == nil)
        #expect(Runtime.current == nil)
    }

    private actor Counter {
        var count = 0

        func run(_ configuration: RuntimeConfiguration) async throws -> [Int?] {
            var places: [Int?] = []
            try await withRuntime(configuration) { _ in
                assertIsolated()
                count += 1
                places.append(await EmbeddingTests.place())
                count += 1
            }
            return places
        }
    }

    @Test("an actor's body stays on it, and what it awaits is on the loop", arguments: settings)
    func actors(setting: Setting) async throws {
        let counter = Counter()
        #expect(try await counter.run(setting.configuration) == [0])
        #expect(await counter.count == 2)
    }

    @MainActor @Test("the main actor's body stays on it, and its sockets work", arguments: settings)
    func mainActor(setting: Setting) async throws {
        let line = try await withRuntime(setting.configuration) { runtime in
            MainActor.assertIsolated()
            #expect(EventLoop.current == nil)
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let port = listener.localAddress.port ?? 0
            runtime.spawn(name: "server") {
                try await listener.serve { connection in
                    try await connection.outbound.write(contentsOf: connection.inbound)
                }
            }
            let line = try await withTCPConnection(host: "127.0.0.1", port: port) { connection in
                MainActor.assertIsolated()
                try await connection.outbound.write("from the main actor\n")
                return try await withTimeout(.seconds(10)) {
                    try await connection.inbound.readLine()
                }
            }
            MainActor.assertIsolated()
            return line
        }
        MainActor.assertIsolated()
        #expect(line == "from the main actor")
    }

    // MARK: What it does

    @Test("it serves blocking clients, each handler on its loop, and drains", arguments: settings)
    func echo(setting: Setting) async throws {
        let misplaced = Atomic<Int>(0)
        try await withRuntime(setting.configuration) { runtime in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let port = listener.localAddress.port ?? 0
            let answers = runtime.spawn(name: "client") {
                let sizes = try await onThread {
                    let sizes = Locked<[Int]>([])
                    PlainThreads.run(8) { index in
                        let bytes = [UInt8].pattern(10_000, seed: index)
                        guard let client = try? BlockingClient(port: port),
                            (try? client.send(bytes)) != nil,
                            let answer = try? client.receive(exactly: bytes.count)
                        else { return }
                        if answer == bytes { sizes.withLock { $0.append(answer.count) } }
                    }
                    return sizes.withLock { $0 }
                }
                #expect(sizes == [Int](repeating: 10_000, count: 8))
                runtime.shutdown.request(reason: "echoed")
            }
            try await listener.serve { connection in
                if !connection.eventLoop.isCurrent || Runtime.current !== runtime {
                    misplaced.wrappingAdd(1, ordering: .relaxed)
                }
                for try await chunk in connection.inbound {
                    try await connection.outbound.write(chunk)
                    if !connection.eventLoop.isCurrent {
                        misplaced.wrappingAdd(1, ordering: .relaxed)
                    }
                }
            }
            await answers.finished()
            #expect(runtime.snapshot().phase >= .draining)
            #expect(runtime.snapshot().eventLoops.count == setting.loopCount)
        }
        let misplacedCount = misplaced.load(ordering: .relaxed)
        #expect(misplacedCount == 0)
    }

    @Test("tasks that prefer no loop use its connections all the same", arguments: settings)
    func elsewhere(setting: Setting) async throws {
        let lines = try await withRuntime(setting.configuration) { runtime in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let port = listener.localAddress.port ?? 0
            runtime.spawn(name: "server") {
                try await listener.serve { connection in
                    // It begins on the loop's thread, and does not come back there by itself.
                    try await Task.immediate {
                        while let line = try await connection.inbound.readLine() {
                            try await connection.outbound.write("\(line)\n")
                        }
                    }.value
                }
            }
            let client = try await TCPConnection.connect(host: "127.0.0.1", port: port)
            let lines = try await Task.detached {
                var lines: [String] = []
                for index in 0..<100 {
                    try await client.outbound.write("line \(index)\n")
                    lines.append(try await client.inbound.readLine() ?? "ended")
                }
                return lines
            }.value
            await client.close()
            return lines
        }
        #expect(lines == (0..<100).map { "line \($0)" })
    }

    @Test("time-outs, the clock, spawned tasks and the checks work", arguments: settings)
    func parts(setting: Setting) async throws {
        try await withRuntime(setting.configuration) { runtime in
            await #expect(throws: TimeoutError.self) {
                try await withTimeout(.milliseconds(5)) { try await Task.sleep(for: .seconds(60)) }
            }
            let begin = ContinuousClock.now
            try await runtime.clock.sleep(for: .milliseconds(5))
            #expect(ContinuousClock.now - begin >= .milliseconds(5))
            #expect(EventLoop.current?.index == 0)
            let gate = Gate(count: 3)
            let ticks = runtime.spawn(name: "ticks", every: .milliseconds(1)) { gate.pass() }
            try await onThread { try gate.wait(for: "three ticks") }
            ticks.cancel()
            await ticks.finished()
            for loop in runtime.eventLoops {
                await runtime.spawn(name: "there", on: loop) { #expect(loop.isCurrent) }.finished()
            }
            await Task.detached {
                let spawned = runtime.spawn(name: "from elsewhere") {
                    #expect(EventLoop.current?.index == 0)
                }
                await spawned.finished()
            }.value
            for await signal in runtime.signals(.user1) { Issue.record("\(signal) is not ours") }
            let check = runtime.productionCheck().first { $0.name == "signals and deadline" }
            #expect(check?.isOK == true)
            #expect(check?.finding.hasPrefix("the program's own") == true)
            #expect(runtime.snapshot().eventLoops[0].turns > 0)
        }
    }

    @Test("a peer that is gone is an error, not a signal", arguments: settings)
    func brokenPipe(setting: Setting) async throws {
        try await withRuntime(setting.configuration) { runtime in
            let listener = try BlockingListener()
            let connection = try await TCPConnection.connect(
                host: "127.0.0.1",
                port: listener.port
            )
            try await onThread { try listener.accept().abort() }
            do {
                while true {
                    try await connection.outbound.write([UInt8](repeating: 1, count: 999))
                }
            } catch is NetworkError {}
            await connection.close()
        }
    }

    // MARK: How it ends

    @Test("what the body throws comes out, and spawned tasks are cancelled", arguments: settings)
    func throwing(setting: Setting) async throws {
        let cancelled = Locked(false)
        await #expect(throws: Mistake.self) {
            try await withRuntime(setting.configuration) { runtime in
                runtime.spawn(name: "sleeper") {
                    do { try await Task.sleep(for: .seconds(60)) } catch {
                        cancelled.withLock { $0 = true }
                    }
                }
                throw Mistake()
            }
        }
        #expect(cancelled.withLock { $0 })
        #expect(Runtime.current == nil)
    }

    @Test("cancelling the caller cancels the body", arguments: settings)
    func cancelled(setting: Setting) async throws {
        let inside = Gate()
        let task = Task {
            try await withRuntime(setting.configuration) { _ in
                inside.pass()
                try await Task.sleep(for: .seconds(60))
            }
        }
        try await onThread { try inside.wait(for: "the body to begin") }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(Runtime.current == nil)
    }

    @Test("a shutdown cancels the body, and not its caller", arguments: settings)
    func requested(setting: Setting) async throws {
        await #expect(throws: CancellationError.self) {
            try await withRuntime(setting.configuration) { runtime in
                runtime.shutdown.request(reason: "enough")
                try await Task.sleep(for: .seconds(60))
            }
        }
        #expect(!Task.isCancelled)
        let value = try await withRuntime(setting.configuration) { runtime in
            runtime.shutdown.request(reason: "enough")
            try? await runtime.shutdown.requested()
            return "in time"
        }
        #expect(value == "in time")
    }

    @Test("a second one is an error that names the first; one after the other works")
    func nested() async throws {
        try await withRuntime(Self.settings[0].configuration) { runtime in
            let error = await #expect(throws: RuntimeError.self) { try await withRuntime { _ in } }
            #expect(error?.description.contains("NoriaTests/EmbeddingTests.swift:") == true)
            let second = Task.detached { try await withRuntime { _ in } }
            await #expect(throws: RuntimeError.self) { try await second.value }
            #expect(Runtime.current === runtime)
        }
        for _ in 0..<3 { try await withRuntime(Self.settings[0].configuration) { _ in } }
    }

    @Test("what can't start says so and leaves the place free")
    func refused() async throws {
        let wrong = RuntimeConfiguration.production.with { $0.network.limits.connectionLimit = 0 }
        await #expect(throws: RuntimeError.self) { try await withRuntime(wrong) { _ in } }
        #expect(Runtime.current == nil)
        await #expect(throws: NetworkError.self) {
            _ = try await TCPListener.bind(host: "127.0.0.1", port: 0)
        }
        try await withRuntime(Self.settings[0].configuration) { _ in }
    }

    /// Waits until something has come about, ten seconds at most.
    func until(_ what: String, _ condition: () -> Bool) async throws {
        let end = ContinuousClock.now + .seconds(10)
        while !condition() {
            guard ContinuousClock.now < end else { throw ChildProcess.Failure("never: \(what)") }
            try await Task.sleep(for: .milliseconds(1))
        }
    }
}
