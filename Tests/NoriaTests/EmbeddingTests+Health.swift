// SPDX-License-Identifier: Apache-2.0
import NoriaSystem
import TestSupport
import Testing

@testable import Noria

/// What a health endpoint would say.
extension EmbeddingTests {
    @Test("ready is what has no reason against it, until the end is asked for", arguments: settings)
    func readiness(setting: Setting) async throws {
        try await withRuntime(setting.configuration) { runtime in
            let health = runtime.health
            #expect(health.isLive && health.isReady && health.reasons.isEmpty)
            health.setNotReady("database", because: "connecting")
            health.setNotReady("cache", because: "cold")
            health.setNotReady("database", because: "refused")
            #expect(!health.isReady && health.isLive)
            #expect(health.reasons == ["database": "refused", "cache": "cold"])
            health.setReady("database")
            health.setReady("nobody")
            #expect(health.reasons == ["cache": "cold"])
            health.setReady("cache")
            #expect(health.isReady)
            runtime.shutdown.request(reason: "test")
            // At once, before anything has been drained.
            #expect(!health.isReady && health.isLive)
            #expect(health.reasons.keys.sorted() == ["shutdown"])
        }
    }

    @Test("a loop that stays in one turn is not live, one that sleeps is", arguments: settings)
    func liveness(setting: Setting) async throws {
        try await withRuntime(setting.configuration) { runtime in
            let health = Health(
                runtime.eventLoops,
                runtime.shutdown,
                patience: .milliseconds(20)
            )
            let loop = runtime.eventLoops[runtime.eventLoops.count - 1]
            let reasons = Locked<[String: String]>([:])
            await runtime.spawn(name: "blocks", on: loop) {
                // The turn in which this is asked grows with it.
                try Waiting.until("the loop to be seen") { !health.isLive }
                reasons.withLock { $0 = health.reasons }
                // The runtime's own patience is longer.
                #expect(runtime.health.isLive && !health.isReady)
            }.finished()
            let seen = reasons.withLock { $0 }
            #expect(seen.keys.sorted() == ["loop \(loop.index)"])
            #expect(seen["loop \(loop.index)"]?.hasPrefix("its turn has lasted") == true)
            try await until("all loops to answer") { health.isLive }
            #expect(health.isReady)
        }
    }
}
