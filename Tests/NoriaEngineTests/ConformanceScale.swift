// SPDX-License-Identifier: Apache-2.0
import NoriaEngine
import NoriaSystem
import Synchronization
import SystemPackage
import Testing

extension Conformance {
    @Suite struct Scale {
        @Test("A turn delivers its limit and keeps the rest", arguments: ConformanceBackends.all)
        func limit(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind, bufferCapacity: 128, bufferByteCount: 64)
            let connections = try (0..<100).map { _ in try fixture.cheapConnection() }
            var answeredCount = 0
            let operations = connections.map { connection in
                fixture.start(.receive(connection.near)) { _ in answeredCount += 1 }
            }
            fixture.turnOnce()
            for connection in connections { connection.far.send([1]) }
            var before = 0
            let end = MonotonicClock.now + 10_000_000_000
            while answeredCount < 100, MonotonicClock.now < end {
                fixture.look(nanoseconds: 1_000_000_000, limit: 256)
                fixture.engine.deliver(limit: 7)
                #expect(answeredCount - before <= 7)
                before = answeredCount
            }
            #expect(operations.allSatisfy { $0.answers == [.received([1])] })
            for connection in connections { fixture.close(connection.near) }
            fixture.finish()
        }

        @Test(
            "More answers at once than a ring holds: none is lost",
            arguments: ConformanceBackends.all
        )
        func overflow(_ kind: BackendKind) throws {
            // A ring of ours holds 4,096.
            let count = kind == .simulated ? 500 : 4_500
            let fixture = try ConformanceFixture(kind, bufferCapacity: 8_192, bufferByteCount: 16)
            let connections = try (0..<count).map { _ in try fixture.cheapConnection() }
            let operations = connections.map { fixture.start(.receive($0.near)) }
            fixture.turnOnce()
            #expect(fixture.engine.operationCount == count)
            for connection in connections { connection.far.send([7]) }
            try fixture.turn("all answers") { fixture.engine.operationCount == 0 }
            #expect(operations.allSatisfy { $0.answers == [.received([7])] })
            for connection in connections { fixture.close(connection.near) }
            fixture.finish()
        }

        @Test(
            "Two thousand operations ended at once end once each",
            arguments: ConformanceBackends.all
        )
        func endedAtOnce(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let count = kind == .simulated ? 500 : 2_000
            let connections = try (0..<count).map { _ in try fixture.cheapConnection() }
            let operations = connections.map { fixture.start(.receive($0.near)) }
            fixture.turnOnce()
            fixture.engine.close()
            #expect(operations.allSatisfy { $0.answers == [.failure(.canceled)] })
            for connection in connections { fixture.close(connection.near) }
            fixture.finish()
        }

        @Test(
            "A thousand peers that stop reading don't hold up a healthy one",
            arguments: ConformanceBackends.real
        )
        func stoppedPeers(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let stopped = try (0..<1000).map { _ in try fixture.cheapConnection() }
            let chunk = Sockets.pattern(1 << 16)
            try chunk.withUnsafeBytes { bytes in
                let start = try #require(bytes.baseAddress)
                // Each is sent to until it is full, and then has a send that waits.
                let sends = try stopped.map { connection in
                    while try fixture.answer(
                        .sendNow(connection.near, start, count: bytes.count)
                    ).result > 0 {}
                    return fixture.start(.send(connection.near, start, count: bytes.count))
                }
                let (near, far) = try fixture.connection()
                let fd = try #require(far as? BlockingFarEnd).fd
                let (rounds, size) = (200, 1000)
                let receivedCount = Atomic<Int>(0)
                let peer = try Peer(rousing: fixture.event) {
                    for round in 0..<rounds {
                        let message = Sockets.pattern(size, from: round)
                        Sockets.sendAll(fd, message)
                        guard Sockets.receive(fd, exactly: size) == message else { return }
                        receivedCount.wrappingAdd(size, ordering: .relaxed)
                    }
                }
                for _ in 0..<rounds {
                    let message = try fixture.receive(near, exactly: size)
                    let sent = try message.withUnsafeBytes {
                        try fixture.answer(.send(near, try #require($0.baseAddress), count: size))
                    }
                    #expect(Int(sent.result) == size)
                }
                try fixture.join(peer)
                let total = receivedCount.load(ordering: .relaxed)
                #expect(total == rounds * size)
                #expect(sends.allSatisfy { !$0.isAnswered })
                fixture.engine.close()
                fixture.close(near)
            }
            for connection in stopped { fixture.close(connection.near) }
            fixture.finish()
        }
    }
}
