// SPDX-License-Identifier: Apache-2.0
import NoriaEngine
import NoriaSystem
import Synchronization
import SystemPackage
import Testing

extension Conformance {
    @Suite struct Parts {
        @Test("Several pieces come as one, in their order", arguments: ConformanceBackends.all)
        func inOrder(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let (near, far) = try fixture.connection()
            let parts = SendParts()
            let bytes = Sockets.pattern(1000)
            try bytes.withUnsafeBytes { all in
                // An empty one among them, and as many as there are places.
                var offset = 0
                while !parts.isFull {
                    let count = parts.count == 1 ? 0 : min(13, all.count - offset)
                    parts.append(UnsafeRawBufferPointer(rebasing: all[offset..<offset + count]))
                    offset += count
                }
                #expect(parts.count == SendParts.capacity)
                try sendAll(parts, near, fixture)
                #expect(far.receive(exactly: offset) == Array(bytes.prefix(offset)))
            }
            fixture.close(near)
            fixture.finish()
        }

        @Test("What a short send left goes out with the next", arguments: ConformanceBackends.all)
        func shortSends(_ kind: BackendKind) throws {
            var faults = SimulatedFaults.none
            faults.percentages[.shortSend] = 90
            let fixture = try ConformanceFixture(kind, faults: faults)
            let (near, far) = try fixture.connection()
            let bytes = Sockets.pattern(3000)
            let parts = SendParts()
            try bytes.withUnsafeBytes { all in
                for start in stride(from: 0, to: 3000, by: 100) {
                    parts.append(UnsafeRawBufferPointer(rebasing: all[start..<start + 100]))
                }
                try sendAll(parts, near, fixture)
                #expect(parts.count == 0)
            }
            #expect(far.receive(exactly: 3000) == bytes)
            if let simulated = fixture.engine.backend as? SimulatedBackend {
                #expect(simulated.faultCounts[.shortSend, default: 0] > 0)
            }
            fixture.close(near)
            fixture.finish()
        }

        @Test(
            "One that the peer does not read waits, and goes on or is cancelled",
            arguments: ConformanceBackends.real,
            [false, true]
        )
        func waits(_ kind: BackendKind, isCancelled: Bool) throws {
            let fixture = try ConformanceFixture(kind)
            let (near, far) = try fixture.connection()
            let bytes = Sockets.pattern(8_000_000)
            let parts = SendParts()
            try bytes.withUnsafeBytes { all in
                for start in stride(from: 0, to: all.count, by: 1_000_000) {
                    parts.append(UnsafeRawBufferPointer(rebasing: all[start..<start + 1_000_000]))
                }
                var waiting: Operation?
                while waiting == nil {
                    let operation = fixture.start(.send(near, parts))
                    fixture.turnOnce()
                    fixture.turnOnce()
                    if let answer = operation.answers.first {
                        parts.removeFirst(byteCount: Int(answer.result))
                        try #require(parts.count > 0, "the kernel took it all: nothing is shown")
                    } else {
                        waiting = operation
                    }
                }
                let operation = try #require(waiting)
                guard !isCancelled else {
                    fixture.cancel(operation)
                    return #expect(try fixture.answer(of: operation) == .failure(.canceled))
                }
                let reader = Reader(try #require(far as? BlockingFarEnd).fd, all.count)
                let peer = try Peer(rousing: fixture.event) { reader.run() }
                parts.removeFirst(byteCount: Int(try fixture.answer(of: operation).result))
                try sendAll(parts, near, fixture)
                try fixture.join(peer)
                #expect(reader.bytes.withLock { $0 } == bytes)
            }
            fixture.close(near)
            fixture.finish()
        }

        @Test("To a peer that is gone it is an error", arguments: ConformanceBackends.all)
        func toNobody(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let (near, far) = try fixture.connection()
            far.reset()
            let parts = SendParts()
            try [UInt8](repeating: 1, count: 8).withUnsafeBytes { all in
                parts.append(UnsafeRawBufferPointer(rebasing: all[..<4]))
                parts.append(UnsafeRawBufferPointer(rebasing: all[4...]))
                let error = try #require(try fixture.answer(.send(near, parts)).error)
                #expect([.brokenPipe, .connectionReset].contains(error), "\(error)")
            }
            fixture.close(near)
            fixture.finish()
        }

        private func sendAll(
            _ parts: SendParts,
            _ near: Int32,
            _ fixture: ConformanceFixture
        ) throws {
            while parts.byteCount > 0 {
                let sent = try fixture.answer(.send(near, parts)).result
                try #require(sent > 0)
                parts.removeFirst(byteCount: Int(sent))
            }
        }
    }
}
