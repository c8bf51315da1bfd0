// SPDX-License-Identifier: Apache-2.0
import NoriaEngine
import NoriaSystem
import Synchronization
import SystemPackage
import Testing

extension Conformance {
    @Suite struct Streams {
        @Test("A receive waits for bytes, and gives them", arguments: ConformanceBackends.all)
        func receives(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let (near, far) = try fixture.connection()
            let operation = fixture.start(.receive(near))
            fixture.turnOnce()
            #expect(!operation.isAnswered)
            #expect(fixture.engine.operationCount == 1)
            far.send([1, 2, 3])
            #expect(try fixture.answer(of: operation) == .received([1, 2, 3]))
            fixture.close(near)
            fixture.finish()
        }

        @Test(
            "Bytes that were there before the receive, or before the register, are received",
            arguments: ConformanceBackends.all
        )
        func receivesWhatWaits(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let (near, far) = try fixture.connection()
            for round in 0..<20 {
                far.send([UInt8(round)])
                if round.isMultiple(of: 2) { fixture.turnOnce() }
                #expect(try fixture.answer(.receive(near)) == .received([UInt8(round)]))
            }
            fixture.close(near)
            fixture.finish()
        }

        @Test("More than a buffer comes in pieces, in order", arguments: ConformanceBackends.all)
        func receivesInPieces(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind, bufferCapacity: 4, bufferByteCount: 100)
            let (near, far) = try fixture.connection()
            // Around one and several buffers, where a short read and a full one meet.
            for count in [1, 99, 100, 101, 200, 250, 400, 1000] {
                let bytes = Sockets.pattern(count, from: count)
                far.send(bytes)
                #expect(try fixture.receive(near, exactly: count) == bytes)
            }
            let idle = fixture.start(.receive(near))
            fixture.turnOnce()
            #expect(!idle.isAnswered, "an exactly full buffer has no end behind it")
            fixture.cancel(idle)
            #expect(try fixture.answer(of: idle) == .failure(.canceled))
            fixture.close(near)
            fixture.finish()
        }

        @Test(
            "Data together with the end: all of it, then the end, again and again",
            arguments: ConformanceBackends.all
        )
        func dataWithEnd(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind, bufferCapacity: 4, bufferByteCount: 256)
            for count in [1, 10, 255, 256, 257, 512, 700] {
                for isEarly in [true, false] {
                    let (near, far) = try fixture.connection()
                    let bytes = Sockets.pattern(count)
                    let early = isEarly ? fixture.start(.receive(near)) : nil
                    fixture.turnOnce()
                    far.send(bytes)
                    far.shutDownWriting()
                    var received: [UInt8] = []
                    if let early { received = try fixture.answer(of: early).bytes }
                    received += try fixture.receive(near, exactly: .max)
                    #expect(received == bytes, "\(count) bytes, early: \(isEarly)")
                    #expect(try fixture.answer(.receive(near)) == .end)
                    fixture.close(near)
                }
            }
            fixture.finish()
        }

        @Test(
            "After the peer's end its other direction goes on",
            arguments: ConformanceBackends.all
        )
        func halfClosedByPeer(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let (near, far) = try fixture.connection()
            far.send([1])
            far.shutDownWriting()
            #expect(try fixture.receive(near, exactly: 10) == [1])
            let bytes = Sockets.pattern(1000)
            let sent = try bytes.withUnsafeBytes {
                try fixture.answer(.send(near, try #require($0.baseAddress), count: $0.count))
            }
            #expect(sent.result == 1000)
            #expect(far.receive(exactly: 1000) == bytes)
            fixture.close(near)
            fixture.finish()
        }

        @Test("After our own end the peer's bytes still come", arguments: ConformanceBackends.all)
        func halfClosedByUs(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let (near, far) = try fixture.connection()
            let operation = fixture.start(.receive(near))
            fixture.turnOnce()
            try fixture.shutDownWriting(near)
            fixture.turnOnce()
            #expect(!operation.isAnswered)
            #expect(far.receive(exactly: 1) == [], "the peer reads our end")
            far.send([7, 8])
            #expect(try fixture.answer(of: operation) == .received([7, 8]))
            far.close()
            #expect(try fixture.answer(.receive(near)) == .end)
            fixture.close(near)
            fixture.finish()
        }

        @Test("A reset is no end", arguments: ConformanceBackends.all)
        func reset(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            for isWaiting in [true, false] {
                let (near, far) = try fixture.connection()
                let waiting = isWaiting ? fixture.start(.receive(near)) : nil
                fixture.turnOnce()
                far.reset()
                let answer = try waiting.map(fixture.answer(of:)) ?? fixture.answer(.receive(near))
                #expect(answer == .failure(.connectionReset))
                fixture.close(near)
            }
            fixture.finish()
        }

        @Test(
            "A send to a peer that is gone is an error, never a signal",
            arguments: ConformanceBackends.all
        )
        func sendToNobody(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let (near, far) = try fixture.connection()
            far.reset()
            let bytes: [UInt8] = [1, 2, 3]
            for _ in 0..<3 {
                let answer = try bytes.withUnsafeBytes {
                    try fixture.answer(.send(near, try #require($0.baseAddress), count: 3))
                }
                let error = try #require(answer.error)
                #expect([.brokenPipe, .connectionReset].contains(error), "\(error)")
            }
            fixture.close(near)
            fixture.finish()
        }

        @Test(
            "A send that the peer does not read waits, and goes on when it does",
            arguments: ConformanceBackends.real
        )
        func sendWaits(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let (near, far) = try fixture.connection()
            let bytes = Sockets.pattern(8_000_000)
            try bytes.withUnsafeBytes { all in
                let start = try #require(all.baseAddress)
                var sent = 0
                var waiting: Operation?
                // Until the send waits; then the peer's thread begins to read.
                while waiting == nil {
                    let operation = fixture.start(
                        .send(near, start + sent, count: all.count - sent)
                    )
                    fixture.turnOnce()
                    fixture.turnOnce()
                    guard let answer = operation.answers.first else {
                        waiting = operation
                        break
                    }
                    sent += Int(answer.result)
                    try #require(sent < all.count, "the kernel took it all: nothing is shown")
                }
                let reader = Reader(try #require(far as? BlockingFarEnd).fd, all.count)
                let peer = try Peer(rousing: fixture.event) { reader.run() }
                sent += Int(try fixture.answer(of: try #require(waiting)).result)
                while sent < all.count {
                    let answer = try fixture.answer(
                        .send(near, start + sent, count: all.count - sent)
                    )
                    try #require(answer.result > 0)
                    sent += Int(answer.result)
                }
                try fixture.join(peer)
                #expect(reader.bytes.withLock { $0 } == bytes)
            }
            fixture.close(near)
            fixture.finish()
        }

        @Test(
            "sendNow sends what fits, then says EAGAIN, and works again later",
            arguments: ConformanceBackends.all
        )
        func sendNow(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let (near, far) = try fixture.connection()
            let chunk = Sockets.pattern(65_536)
            try chunk.withUnsafeBytes { bytes in
                let start = try #require(bytes.baseAddress)
                var total = 0
                while true {
                    let answer = try fixture.answer(.sendNow(near, start, count: bytes.count))
                    guard answer.result > 0 else {
                        #expect(answer == .failure(.resourceTemporarilyUnavailable))
                        break
                    }
                    total += Int(answer.result)
                }
                #expect(total > 0)
                #expect(far.receive(exactly: total).count == total)
                // Room is there again: a send, which may wait, finds it; so does the next sendNow.
                #expect(try fixture.answer(.send(near, start, count: 1)).result == 1)
                #expect(try fixture.answer(.sendNow(near, start, count: 1)).result == 1)
                #expect(far.receive(exactly: 2).count == 2)
            }
            fixture.close(near)
            fixture.finish()
        }

        @Test("Both directions of one descriptor work at once", arguments: ConformanceBackends.all)
        func bothDirections(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let (near, far) = try fixture.connection()
            let byte: [UInt8] = [9]
            for round in 0..<50 {
                let receive = fixture.start(.receive(near))
                let sent = try byte.withUnsafeBytes {
                    try fixture.answer(.send(near, try #require($0.baseAddress), count: 1))
                }
                #expect(sent.result == 1)
                #expect(far.receive(exactly: 1) == byte)
                far.send([UInt8(round)])
                #expect(try fixture.answer(of: receive) == .received([UInt8(round)]))
            }
            fixture.close(near)
            fixture.finish()
        }

        @Test(
            "A watch tells of bytes without taking them, as long as they are there",
            arguments: ConformanceBackends.all
        )
        func watches(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let (near, far) = try fixture.connection()
            let watch = fixture.start(.watch(near))
            fixture.turnOnce()
            #expect(!watch.isAnswered)
            far.send([1, 2, 3])
            #expect(try fixture.answer(of: watch) == Answer(result: 0))
            // Nobody has read: it is still so, and no new edge will tell.
            #expect(try fixture.answer(.watch(near)) == Answer(result: 0))
            #expect(try fixture.answer(.receive(near)) == .received([1, 2, 3]))
            let idle = fixture.start(.watch(near))
            fixture.turnOnce()
            #expect(!idle.isAnswered)
            fixture.cancel(idle)
            #expect(try fixture.answer(of: idle) == .failure(.canceled))
            fixture.close(near)
            fixture.finish()
        }
    }
}
