// SPDX-License-Identifier: Apache-2.0
import FoundationEssentials
import NoriaSystem
import SystemPackage
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

    @Test("a forged snapshot, of numbers that no runtime has, ends no report")
    func forgedSnapshot() async throws {
        let setting = try #require(Self.settings.first)
        try await withRuntime(setting.configuration) { runtime in
            let bytes = try PublishedSnapshot(runtime, []).bytes
            var text = String(decoding: bytes.drop { $0 != UInt8(ascii: "{") }, as: UTF8.self)
            for (name, number) in [
                ("utilization", "1e300"), ("max", "1e300"), ("p99", "-1e300"),
                ("reported", "\(UInt64.max)"), ("suppressed", "\(UInt64.max)"),
                ("stalls", "\(Int.max)"), ("activeCount", "\(Int.min)"),
                ("writtenAt", "\(UInt64.max)"),
            ] {
                let pattern = try Regex("\"\(name)\":[-+.e0-9]+")
                #expect(text.contains(pattern), "\(name)")
                text.replace(pattern, with: "\"\(name)\":\(number)")
            }
            let forged = try JSONDecoder().decode(PublishedSnapshot.self, from: Data(text.utf8))
            let fixture = try ProcessFixture()
            try fixture.thread(78, named: "noria watchdog")
            var look = try fixture.look()
            look.snapshot = .success(forged)
            let report = ProcessReport(look)
            #expect(report.text.contains("1e+302 % busy"))
            #expect(try report.json.contains("1e+300"))
            // Without an earlier one it is not known whether they grow.
            #expect(report.rows.first { $0.name == "executors" }?.state == .unknown)
            // They don't grow; then they do, out of bounds.
            look.earlierSnapshot = forged
            #expect(ProcessReport(look).rows.first { $0.name == "executors" }?.state == .ok)
            look.earlierSnapshot = try PublishedSnapshot.read(bytes)
            #expect(ProcessReport(look).rows.first { $0.name == "executors" }?.state == .change)
        }
    }

    @Test("a memory of another name, a file and a pipe are not read for a snapshot")
    func otherMemories() throws {
        let other = try Descriptor.memory(named: "noria-snapshots")
        defer { Descriptor.close(other) }
        for path in ["/proc/self/fd/\(other)", "/dev/zero", "/proc/self/exe", "/proc/self/fd"] {
            #expect(throws: Errno.noSuchAddressOrDevice) {
                try SystemFile.bytes(ofMemory: PublishedSnapshot.name, at: path)
            }
        }
        let own = try Descriptor.memory(named: PublishedSnapshot.name)
        defer { Descriptor.close(own) }
        #expect(
            try SystemFile.bytes(ofMemory: PublishedSnapshot.name, at: "/proc/self/fd/\(own)") == []
        )
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
