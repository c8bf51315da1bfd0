// SPDX-License-Identifier: Apache-2.0
import NoriaEngine
import NoriaSystem
import SystemPackage
import Testing

extension Conformance {
    @Suite struct Buffers {
        @Test(
            "A thousand readable sockets over 16 buffers: all are served",
            arguments: ConformanceBackends.all
        )
        func fewBuffers(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind, bufferCapacity: 16, bufferByteCount: 64)
            let connections = try (0..<1000).map { _ in try fixture.cheapConnection() }
            var held: [Operation] = []
            let operations = connections.map { connection in
                fixture.start(.receive(connection.near), keepsBuffer: true) { held.append($0) }
            }
            for (index, connection) in connections.enumerated() {
                connection.far.send([UInt8(index & 0xff), UInt8(index >> 8)])
            }
            var servedCount = 0
            while servedCount < 1000 {
                try fixture.turn("somebody to be served") { !held.isEmpty }
                #expect(held.count <= 16)
                servedCount += held.count
                for operation in held { operation.giveBack() }
                held.removeAll()
            }
            for (index, operation) in operations.enumerated() {
                #expect(operation.answers == [.received([UInt8(index & 0xff), UInt8(index >> 8)])])
            }
            // Fed as buffers come back, and not all at once for each: that would be 30,000.
            #expect((984...2000).contains(fixture.engine.starvedCount))
            for connection in connections { fixture.close(connection.near) }
            fixture.finish()
        }

        @Test("Starved receives are fed first in, first out", arguments: ConformanceBackends.all)
        func firstInFirstOut(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind, bufferCapacity: 1, bufferByteCount: 64)
            let holder = try fixture.connection()
            holder.far.send([0])
            let first = fixture.start(.receive(holder.near), keepsBuffer: true)
            _ = try fixture.answer(of: first)
            // One after another, each seen starving before the next one comes.
            var order: [Int] = []
            var held: [Operation] = []
            let connections = try (0..<10).map { _ in try fixture.connection() }
            for (index, connection) in connections.enumerated() {
                connection.far.send([1])
                _ = fixture.start(.receive(connection.near), keepsBuffer: true) {
                    order.append(index)
                    held.append($0)
                }
                try fixture.turn("starvation") {
                    fixture.engine.starvedCount == UInt64(index + 1)
                }
            }
            first.giveBack()
            for count in 1...10 {
                try fixture.turn("the next one") { order.count == count }
                held.removeFirst().giveBack()
            }
            #expect(order == Array(0..<10))
            for connection in connections + [holder] { fixture.close(connection.near) }
            fixture.finish()
        }

        @Test(
            "A starved receive that is cancelled ends, and the one behind it is fed",
            arguments: ConformanceBackends.all
        )
        func cancelledWhileStarved(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind, bufferCapacity: 1, bufferByteCount: 64)
            let connections = try (0..<3).map { _ in try fixture.connection() }
            for connection in connections { connection.far.send([1]) }
            let holder = fixture.start(.receive(connections[0].near), keepsBuffer: true)
            _ = try fixture.answer(of: holder)
            let waiting = connections[1...].map { fixture.start(.receive($0.near)) }
            try fixture.turn("starvation") { fixture.engine.starvedCount == 2 }
            fixture.cancel(waiting[0])
            #expect(try fixture.answer(of: waiting[0]) == .failure(.canceled))
            #expect(!waiting[1].isAnswered)
            holder.giveBack()
            #expect(try fixture.answer(of: waiting[1]) == .received([1]))
            #expect(try fixture.answer(.receive(connections[1].near)) == .received([1]))
            for connection in connections { fixture.close(connection.near) }
            fixture.finish()
        }

        @Test(
            "A receive whose starvation nobody has been told of yet is cancelled, too",
            arguments: ConformanceBackends.all
        )
        func cancelledBeforeStarving(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind, bufferCapacity: 1, bufferByteCount: 64)
            let connections = try (0..<2).map { _ in try fixture.connection() }
            let holder = fixture.start(.receive(connections[0].near), keepsBuffer: true)
            connections[0].far.send([1])
            _ = try fixture.answer(of: holder)
            let operation = fixture.start(.receive(connections[1].near))
            fixture.turnOnce()
            connections[1].far.send([2])
            // Looked at, and ENOBUFS stands in the queue; not delivered.
            fixture.look(nanoseconds: 1_000_000)
            fixture.cancel(operation)
            #expect(try fixture.answer(of: operation) == .failure(.canceled))
            holder.giveBack()
            #expect(try fixture.answer(.receive(connections[1].near)) == .received([2]))
            for connection in connections { fixture.close(connection.near) }
            fixture.finish()
        }

        @Test(
            "Buffers that come back before the starvation is told are used",
            arguments: ConformanceBackends.all
        )
        func givenBackTooEarly(_ kind: BackendKind) throws {
            // One buffer for two: the first owner gives it back as it is told, and then the
            // second's ENOBUFS is delivered. Nothing will ever be given back after that.
            let fixture = try ConformanceFixture(kind, bufferCapacity: 1, bufferByteCount: 64)
            let connections = try (0..<8).map { _ in try fixture.connection() }
            for round in 0..<10 {
                let operations = connections.map { fixture.start(.receive($0.near)) }
                fixture.turnOnce()
                for connection in connections { connection.far.send([UInt8(round)]) }
                for operation in operations {
                    #expect(try fixture.answer(of: operation) == .received([UInt8(round)]))
                }
            }
            for connection in connections { fixture.close(connection.near) }
            fixture.finish()
        }

        @Test(
            "Who is fed and needs no buffer leaves it to the next",
            arguments: ConformanceBackends.all
        )
        func fedWithoutNeed(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind, bufferCapacity: 1, bufferByteCount: 64)
            let connections = try (0..<4).map { _ in try fixture.connection() }
            connections[0].far.send([1])
            let holder = fixture.start(.receive(connections[0].near), keepsBuffer: true)
            _ = try fixture.answer(of: holder)
            // Two ends of stream and then data: one buffer given back must reach the third.
            connections[1].far.shutDownWriting()
            connections[2].far.shutDownWriting()
            connections[3].far.send([3])
            let waiting = connections[1...].map { fixture.start(.receive($0.near)) }
            for _ in 0..<4 { fixture.turnOnce() }
            holder.giveBack()
            #expect(try fixture.answer(of: waiting[0]) == .end)
            #expect(try fixture.answer(of: waiting[1]) == .end)
            #expect(try fixture.answer(of: waiting[2]) == .received([3]))
            for connection in connections { fixture.close(connection.near) }
            fixture.finish()
        }

        @Test("An idle connection holds no buffer", arguments: ConformanceBackends.all)
        func idleHoldsNone(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind, bufferCapacity: 2, bufferByteCount: 64)
            let idle = try (0..<50).map { _ in try fixture.connection() }
            let operations = idle.map { fixture.start(.receive($0.near)) }
            let (near, far) = try fixture.connection()
            for round in 0..<50 {
                far.send([UInt8(round)])
                #expect(try fixture.answer(.receive(near)) == .received([UInt8(round)]))
            }
            for operation in operations { fixture.cancel(operation) }
            try fixture.turn("the end of all") { fixture.engine.operationCount == 0 }
            for connection in idle + [(near, far)] { fixture.close(connection.near) }
            fixture.finish()
        }
    }
}
