// SPDX-License-Identifier: Apache-2.0
import NoriaSystem
import TestSupport
import Testing

@testable import Noria

/// What a runtime shows to other processes.
extension EmbeddingTests {
    @Test("the snapshot is seen from outside, as an embedded one", arguments: settings)
    func publishedSnapshot(setting: Setting) async throws {
        let configuration = setting.configuration.with {
            $0.diagnostics.uncaughtErrors = UncaughtErrorHandler { _ in }
            $0.diagnostics.debug = .off
        }
        let folder = ProcessFolder(machine: Machine(), processID: Thread.processID)
        try await withRuntime(configuration) { runtime in
            let name = try #require(try ProcessDescriptors(folder).snapshot)
            let seen = Locked<PublishedSnapshot?>(nil)
            try await until("the watchdog to write it") {
                let path = folder.path(name)
                let value = (try? SystemFile.bytes(of: path)).flatMap {
                    (try? PublishedSnapshot.read($0)) ?? nil
                }
                seen.withLock { $0 = value }
                return value != nil
            }
            let snapshot = try #require(seen.withLock { $0 })
            #expect(snapshot.isEmbedded && !snapshot.isDebug)
            #expect(snapshot.processID == Thread.processID)
            #expect(snapshot.uncaughtErrorHandler == "own")
            #expect(snapshot.shutdownDeadlineSeconds == 5)
            #expect(snapshot.snapshot.backend.kind == setting.backend)
            #expect(snapshot.snapshot.eventLoops.count == setting.loopCount)
            #expect(snapshot.checks.map(\.name) == runtime.productionCheck().map(\.name))
        }
        // It goes with the run.
        #expect(try ProcessDescriptors(folder).snapshot == nil)
    }

    @Test("a snapshot that is not whole is not believed")
    func tornSnapshot() async throws {
        let setting = try #require(Self.settings.first)
        try await withRuntime(setting.configuration) { runtime in
            let bytes = try PublishedSnapshot(runtime, runtime.productionCheck()).bytes
            #expect(try PublishedSnapshot.read(bytes)?.processID == Thread.processID)
            // A longer one stood there before.
            #expect(try PublishedSnapshot.read(bytes + bytes) != nil)
            for count in stride(from: 0, to: bytes.count, by: 97) {
                #expect(try PublishedSnapshot.read(Array(bytes[..<count])) == nil)
            }
            for place in stride(from: 17, to: bytes.count, by: 97) {
                var torn = bytes
                torn[place] ^= 1
                #expect(try PublishedSnapshot.read(torn) == nil, "\(place)")
            }
            var other = bytes
            other[15] = UInt8(ascii: "2")
            #expect(throws: Machine.Unseen.self) { try PublishedSnapshot.read(other) }
        }
    }

    @Test("a runtime that shows no snapshot has no descriptor for it")
    func unpublishedSnapshot() async throws {
        let setting = try #require(Self.settings.first)
        let configuration = setting.configuration.with {
            $0.diagnostics.publishesSnapshot = false
        }
        let folder = ProcessFolder(machine: Machine(), processID: Thread.processID)
        try await withRuntime(configuration) { _ in
            let descriptors = try ProcessDescriptors(folder)
            #expect(descriptors.snapshot == nil)
        }
    }
}
