// SPDX-License-Identifier: Apache-2.0
import NoriaEngine
import NoriaSystem
import Synchronization
import SystemPackage
import Testing

extension Conformance {
    @Suite struct Waking {
        @Test(
            "A write before the wait ends it at once, and is told once",
            arguments: ConformanceBackends.all
        )
        func beforeTheWait(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            for _ in 0..<100 {
                fixture.signal()
                fixture.signal()
                #expect(fixture.engine.look(nanoseconds: -1, limit: 256))
                #expect(!fixture.engine.look(nanoseconds: 0, limit: 256), "told twice")
            }
            fixture.finish()
        }

        @Test(
            "Writes from another thread end a sleep without end",
            arguments: ConformanceBackends.real
        )
        func whileAsleep(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let sleeper = Thread.id
            let rounds = 200
            let answered = Atomic<Int>(0)
            let event = fixture.event
            let peer = try Peer(rousing: event) {
                for round in 0..<rounds {
                    // The sleeper has taken the last one; every other time it is fast asleep.
                    while answered.load(ordering: .acquiring) < round {}
                    if round.isMultiple(of: 2) { Sockets.waitUntilAsleep(sleeper) }
                    Descriptor.signalEvent(event)
                }
            }
            for round in 0..<rounds {
                // A signal, or a ring that is being torn down, may end a wait for nothing.
                try fixture.turn("a rouse") { fixture.rousedCount > round }
                #expect(fixture.rousedCount == round + 1)
                answered.store(round + 1, ordering: .releasing)
            }
            try fixture.join(peer)
            fixture.finish()
        }

        @Test(
            "The latch writes at most once a sleep, and no rouse is lost",
            arguments: ConformanceBackends.real
        )
        func latch(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let wakeup = try Wakeup()
            let (backend, _) = BackendSelection.make([kind], bufferCapacity: 4)
            let engine = Engine(backend: try #require(backend))
            try engine.backend.watchWakeup(wakeup.descriptor)
            let count = 20_000
            let queue = Atomic<Int>(0)
            wakeup.didWake()
            let peer = try Peer(rousing: fixture.event) {
                for _ in 0..<count {
                    queue.wrappingAdd(1, ordering: .sequentiallyConsistent)
                    _ = wakeup.rouse()
                }
            }
            var sleepCount: UInt64 = 0
            let end = MonotonicClock.now + 10_000_000_000
            // `seen` is what this side has taken: it sleeps only for what comes after it.
            while case let seen = queue.load(ordering: .sequentiallyConsistent), seen < count {
                wakeup.willSleep()
                sleepCount += 1
                let isEmpty = queue.load(ordering: .sequentiallyConsistent) == seen
                _ = engine.look(nanoseconds: isEmpty ? 10_000_000_000 : 0, limit: 16)
                wakeup.didWake()
                guard MonotonicClock.now < end else { throw Hang(description: "a rouse was lost") }
            }
            #expect(wakeup.writeCount <= sleepCount)
            try fixture.join(peer)
            let writeCount = wakeup.writeCount
            #expect(wakeup.rouse())
            #expect(wakeup.writeCount == writeCount, "a loop that runs is not written to")
            wakeup.stop()
            #expect(!wakeup.rouse(), "nobody looks any more")
            fixture.finish()
        }

        @Test(
            "A wait lasts its time, to the nanosecond and not in steps",
            arguments: ConformanceBackends.real
        )
        func neverEarly(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            for nanoseconds in [1, 1000, 999_999, 1_000_001, 2_500_000] as [UInt64] {
                // A wait that were rounded down would look again and again at its end. Now and
                // then one ends for nothing, by a signal.
                #expect(fixture.looks(in: nanoseconds) < 4, "\(nanoseconds) ns")
            }
            fixture.finish()
        }
    }
}

extension ConformanceFixture {
    func signal() { if let kernel { kernel.signal(event) } else { Descriptor.signalEvent(event) } }
}

extension Sockets {
    /// Waits for a thread of this process to sleep in the kernel.
    static func waitUntilAsleep(_ thread: Int32) {
        while true {
            guard let stat = FileDescriptor.contents(of: "/proc/self/task/\(thread)/stat"),
                let parenthesis = stat.lastIndex(of: ")")
            else { return }
            if stat[parenthesis...].hasPrefix(") S") { return }
        }
    }
}

extension FileDescriptor {
    /// The first 4 KiB of a file, as text.
    static func contents(of path: String) -> String? {
        guard let file = try? FileDescriptor.open(FilePath(path), .readOnly) else { return nil }
        defer { try? file.close() }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = bytes.withUnsafeMutableBytes { (try? file.read(into: $0)) ?? 0 }
        return String(decoding: bytes.prefix(count), as: UTF8.self)
    }
}
