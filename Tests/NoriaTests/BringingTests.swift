// SPDX-License-Identifier: Apache-2.0
import NoriaEngine
import NoriaSystem
import TestSupport
import Testing

@testable import Noria

@Suite("A task that is brought to a loop is there")
struct BringingTests {
    @Test("What it does is done on the loop, and goes on where it was before")
    func brings() async throws {
        let loop = try EventLoop(index: 1)
        let (hasBegun, isEnded) = (Gate(), Gate())
        try Thread.start {
            let (backend, _) = BackendSelection.make([.poll], bufferCapacity: 4)
            guard let backend, (try? loop.begin(engine: Engine(backend: backend))) != nil else {
                return
            }
            hasBegun.pass()
            loop.run(TurnBudget())
            loop.end()
            isEnded.pass()
        }
        try hasBegun.wait(for: "the loop's begin")
        // The operation is nothing but a call: the compiler must not take the way there from it.
        let operation: @Sendable () async -> Bool = { loop.isCurrent }
        for _ in 0..<100 {
            #expect(await loop.bring(operation))
            #expect(!loop.isCurrent)
        }
        #expect(
            try await loop.bring {
                try Task.checkCancellation()
                return loop.isCurrent
            }
        )
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return await loop.bring(operation)
        }
        #expect(await task.value)
        loop.post { loop.finish() }
        try isEnded.wait(for: "the loop's end")
    }
}
