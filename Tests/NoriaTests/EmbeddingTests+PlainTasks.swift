// SPDX-License-Identifier: Apache-2.0
import NoriaSystem
import TestSupport
import Testing

@testable import Noria

/// Plain tasks beside an embedded runtime: what is made on its loops is its own concern.
extension EmbeddingTests {
    private struct PlainMistake: Error { let number: Int }

    private static func counted(_ setting: Setting, _ seen: Locked<[Int]>) -> RuntimeConfiguration {
        setting.configuration.with {
            $0.diagnostics.uncaughtErrors = UncaughtErrorHandler { error in
                guard let mistake = error.error as? PlainMistake else { return }
                seen.withLock { $0.append(mistake.number) }
            }
        }
    }

    @Test("what fails of the tasks made on the loops is met, once", arguments: settings)
    func plainFailures(setting: Setting) async throws {
        let seen = Locked<[Int]>([])
        try await withRuntime(Self.counted(setting, seen)) { runtime in
            await runtime.spawn(name: "maker") {
                for number in 0..<1000 {
                    // It runs where the program's tasks do, and may have failed at once.
                    Task { throw PlainMistake(number: number) }
                    let awaited = Task.detached { throw PlainMistake(number: -1) }
                    if number % 100 == 0 { _ = await awaited.result }
                    _ = await awaited.result
                }
            }.finished()
            try await until("met") { seen.withLock(\.count) >= 1000 }
        }
        #expect(seen.withLock { $0.sorted() } == Array(0..<1000))
    }

    @Test("the program's own tasks are left alone, the loops' are listed", arguments: settings)
    func programsTasks(setting: Setting) async throws {
        let seen = Locked<[Int]>([])
        let (inner, outer) = (Locked<Task<Void, Never>?>(nil), Gate())
        try await withRuntime(Self.counted(setting, seen)) { runtime in
            await Self.failElsewhere()
            await runtime.spawn(name: "maker", on: runtime.eventLoops.main) {
                let task = Task(name: "of a loop") {
                    // Left when the runtime has ended: nobody cancels it.
                    try? await Task.sleep(for: .seconds(3600))
                    outer.pass()
                }
                inner.withLock { $0 = task }
            }.finished()
            let listed = runtime.tasks().filter { $0.name == "of a loop" }
            #expect(listed.count == 1)
            #expect(listed.first?.isCancelled == false)
        }
        let task = try #require(inner.withLock { $0 })
        #expect(!task.isCancelled)
        task.cancel()
        await task.value
        #expect(seen.withLock { $0 } == [])
    }

    /// On a thread of the program's: what it begins is none of the runtime's.
    private static func failElsewhere() async {
        await withUnsafeContinuation { continuation in
            try? Thread.start {
                let task = Task { throw PlainMistake(number: 1) }
                Task {
                    _ = await task.result
                    continuation.resume()
                }
            }
        }
    }

    @Test("a live task costs at most 64 bytes of ours, and gives them back", arguments: settings)
    func listBytes(setting: Setting) async throws {
        try await withRuntime(setting.configuration) { runtime in
            let count = 20_000
            let gate = Locked<[UnsafeContinuation<Void, Never>]>([])
            await runtime.spawn(name: "maker") {
                for _ in 0..<count {
                    Task {
                        await withUnsafeContinuation { continuation in
                            gate.withLock { $0.append(continuation) }
                        }
                    }
                }
            }.finished()
            try await until("met") { gate.withLock(\.count) == count }
            #expect(runtime.snapshot().taskCount >= count)
            #expect(TaskHook.byteCount / runtime.snapshot().taskCount <= 64)
            for continuation in gate.withLock({ $0 }) { continuation.resume() }
            try await until("met") { TaskHook.byteCount < count * 4 }
        }
    }
}
