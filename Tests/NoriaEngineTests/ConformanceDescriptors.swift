// SPDX-License-Identifier: Apache-2.0
import Glibc
import NoriaEngine
import NoriaSystem
import SystemPackage
import Testing

extension Conformance {
    @Suite struct Descriptors {
        @Test(
            "A number that is used again knows nothing of its last tenant",
            arguments: ConformanceBackends.all
        )
        func reused(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            for round in 0..<40 {
                let (near, far) = try fixture.connection()
                let operation = fixture.start(.receive(near))
                if round.isMultiple(of: 2) { fixture.turnOnce() }
                fixture.cancel(operation)
                #expect(try fixture.answer(of: operation) == .failure(.canceled))
                // An event for the old tenant may be on its way.
                far.send([1])
                fixture.close(near)
                far.close()

                let (next, nextFar) = try fixture.connection()
                let tenant = fixture.start(.receive(next))
                for _ in 0..<3 { fixture.turnOnce() }
                #expect(!tenant.isAnswered)
                nextFar.send([2])
                #expect(try fixture.answer(of: tenant) == .received([2]))
                fixture.close(next)
            }
            fixture.finish()
        }

        @Test(
            "A file that lives on in a copy of its descriptor tells the number's next tenant nothing",
            arguments: ConformanceBackends.real
        )
        func copied(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let (near, far) = try fixture.connection()
            let copy = dup(near)
            let operation = fixture.start(.receive(near))
            fixture.turnOnce()
            fixture.cancel(operation)
            #expect(try fixture.answer(of: operation) == .failure(.canceled))
            fixture.engine.backend.deregister(near)

            // dup2 closes the number and gives it to the next in one step.
            let (next, nextFar) = try Sockets.connectedPair()
            #expect(dup2(next, near) == near)
            Descriptor.close(next)
            try fixture.engine.backend.register(near)
            let tenant = fixture.start(.receive(near))
            fixture.turnOnce()
            let lookCount = fixture.lookCount
            far.send([1])
            far.close()
            for _ in 0..<5 { fixture.turnOnce() }
            #expect(!tenant.isAnswered)
            #expect(fixture.lookCount == lookCount + 5)
            Sockets.sendAll(nextFar, [2])
            #expect(try fixture.answer(of: tenant) == .received([2]))
            Descriptor.close(nextFar)
            Descriptor.close(copy)
            fixture.close(near)
            fixture.finish()
        }

        @Test("Whoever goes, the others go on", arguments: ConformanceBackends.all)
        func others(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            var connections = try (0..<12).map { _ in try fixture.connection() }
            // From the middle, the beginning and the end; between them all of the rest is used.
            for (round, index) in [5, 0, 9, 3, 3, 6].enumerated() {
                let (near, far) = connections.remove(at: index)
                fixture.close(near)
                far.close()
                for other in connections {
                    let operation = fixture.start(.receive(other.near))
                    fixture.turnOnce()
                    #expect(!operation.isAnswered)
                    other.far.send([UInt8(round)])
                    #expect(try fixture.answer(of: operation) == .received([UInt8(round)]))
                }
            }
            for connection in connections { fixture.close(connection.near) }
            fixture.finish()
        }

        @Test(
            "A descriptor closed underneath ends with an error or a cancel, never a crash",
            arguments: ConformanceBackends.real
        )
        func closedUnderneath(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            for isWaiting in [true, false] {
                let (near, far) = try fixture.connection()
                let operation = fixture.start(.receive(near))
                if isWaiting { fixture.turnOnce() }
                fixture.closeOnly(near)
                fixture.turnOnce()
                fixture.cancel(operation)
                let answer = try fixture.answer(of: operation)
                #expect([.badFileDescriptor, .canceled].contains(answer.error), "\(answer)")
                // epoll has forgotten the file without a word, and asking at every receive would
                // cost a call: there the next one is only ended by its cancel.
                let next = fixture.start(.receive(near))
                fixture.turnOnce()
                fixture.cancel(next)
                let error = try fixture.answer(of: next).error
                #expect([.badFileDescriptor, .canceled].contains(error))
                fixture.engine.backend.deregister(near)
                far.close()
            }
            fixture.finish()
        }

        @Test(
            "A number closed underneath and given out again serves its next owner alone",
            arguments: ConformanceBackends.real
        )
        func replacedUnderneath(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let (near, far) = try fixture.connection()
            let (other, otherFar) = try Sockets.connectedPair()
            let first = fixture.start(.receive(near))
            fixture.turnOnce()
            #expect(dup2(other, near) == near)
            Descriptor.close(other)
            try fixture.engine.backend.register(near)
            let second = fixture.start(.receive(near))
            fixture.turnOnce()
            #expect(!second.isAnswered)
            Sockets.sendAll(otherFar, [2])
            #expect(try fixture.answer(of: second) == .received([2]))
            fixture.cancel(first)
            far.close()
            let error = try fixture.answer(of: first).error
            #expect([.badFileDescriptor, .canceled].contains(error), "\(first.answers)")
            Descriptor.close(otherFar)
            fixture.close(near)
            fixture.finish()
        }

        @Test(
            "What hung up and nobody reads makes no busy loop",
            arguments: ConformanceBackends.real
        )
        func hangUpUnread(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let connections = try (0..<4).map { _ in try fixture.connection() }
            connections[0].far.close()
            connections[1].far.reset()
            connections[2].far.send([1])
            connections[2].far.shutDownWriting()
            // The last one is connected to nobody: poll(2) calls that a hang-up.
            let lonely = try Socket.stream(isIPv6: false)
            try fixture.engine.backend.register(lonely)
            #expect(fixture.looks(in: 300_000_000) < 10)
            // One direction is used and exhausted, the other hangs up: still no busy loop.
            let (near, far) = try fixture.connection()
            let chunk = [UInt8](repeating: 1, count: 1 << 20)
            try chunk.withUnsafeBytes { bytes in
                let start = try #require(bytes.baseAddress)
                while try fixture.answer(.sendNow(near, start, count: bytes.count)).result > 0 {}
                let send = fixture.start(.send(near, start, count: bytes.count))
                far.shutDownWriting()
                #expect(fixture.looks(in: 300_000_000) < 10)
                fixture.cancel(send)
                _ = try fixture.answer(of: send)
            }
            for (near, _) in connections + [(near, far)] { fixture.close(near) }
            fixture.close(lonely)
            fixture.finish()
        }

        @Test(
            "An urgent byte makes no busy loop and hides no data",
            arguments: ConformanceBackends.real
        )
        func urgentByte(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let (near, far) = try fixture.connection()
            let fd = try #require(far as? BlockingFarEnd).fd
            let operation = fixture.start(.receive(near))
            fixture.turnOnce()
            var urgent: UInt8 = 33
            #expect(send(fd, &urgent, 1, Int32(MSG_OOB)) == 1)
            #expect(fixture.looks(in: 300_000_000) < 10)
            far.send([4, 5])
            #expect(try fixture.answer(of: operation) == .received([4, 5]))
            far.close()
            #expect(try fixture.answer(.receive(near)) == .end)
            fixture.close(near)
            fixture.finish()
        }

        @Test(
            "A descriptor that was let go of is never heard of again",
            arguments: ConformanceBackends.real
        )
        func deregistered(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let (near, far) = try fixture.connection()
            let copy = dup(near)
            fixture.turnOnce()
            fixture.close(near)
            // The file lives on in the copy, and every byte is an edge.
            var wokenCount = 0
            for _ in 0..<20 {
                far.send([1])
                if fixture.looks(in: 2_000_000) > 1 { wokenCount += 1 }
            }
            #expect(wokenCount < 10)
            Descriptor.close(copy)
            fixture.finish()
        }
    }
}

extension ConformanceFixture {
    /// How many looks end within a time in which hardly anything happens.
    func looks(in nanoseconds: UInt64) -> Int {
        let before = lookCount
        let end = MonotonicClock.now + nanoseconds
        while case let now = MonotonicClock.now, now < end, lookCount - before < 100 {
            look(nanoseconds: Int64(end - now))
            engine.deliver(limit: 256)
        }
        return lookCount - before
    }
}
