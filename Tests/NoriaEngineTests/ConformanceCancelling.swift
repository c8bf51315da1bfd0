// SPDX-License-Identifier: Apache-2.0
import NoriaEngine
import NoriaSystem
import Synchronization
import SystemPackage
import Testing

extension Conformance {
    @Suite struct Cancelling {
        @Test(
            "Cancelling what has not reached the kernel ends it",
            arguments: ConformanceBackends.all
        )
        func beforeAnything(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let (near, far) = try fixture.connection()
            let operation = fixture.start(.receive(near))
            fixture.cancel(operation)
            #expect(!operation.isAnswered, "an end is told by deliver, never from inside cancel")
            #expect(try fixture.answer(of: operation) == .failure(.canceled))
            far.send([5])
            #expect(try fixture.answer(.receive(near)) == .received([5]), "the next one is free")
            fixture.close(near)
            fixture.finish()
        }

        @Test(
            "Cancelling an operation that waits in the kernel ends it, once",
            arguments: ConformanceBackends.all
        )
        func whileItWaits(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let (near, far) = try fixture.connection()
            let operation = fixture.start(.receive(near))
            fixture.turnOnce()
            fixture.cancel(operation)
            fixture.cancel(operation)
            #expect(try fixture.answer(of: operation) == .failure(.canceled))
            // Its token has passed: nothing comes of this, not even for the slot's next tenant.
            let next = fixture.start(.receive(near))
            fixture.cancel(operation)
            for _ in 0..<3 { fixture.turnOnce() }
            #expect(operation.answers.count == 1)
            #expect(!next.isAnswered)
            fixture.cancel(next)
            #expect(try fixture.answer(of: next) == .failure(.canceled))
            far.close()
            fixture.close(near)
            fixture.finish()
        }

        @Test(
            "A cancelled receive has the bytes or leaves them",
            arguments: ConformanceBackends.all
        )
        func withDataThere(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let (near, far) = try fixture.connection()
            for round in 0..<60 {
                let byte = UInt8(round)
                let operation = fixture.start(.receive(near))
                if round.isMultiple(of: 2) { fixture.turnOnce() }
                far.send([byte])
                if round.isMultiple(of: 3) { fixture.look(nanoseconds: 0) }
                fixture.cancel(operation)
                let answer = try fixture.answer(of: operation)
                if answer == .failure(.canceled) {
                    #expect(try fixture.answer(.receive(near)) == .received([byte]))
                } else {
                    #expect(answer == .received([byte]))
                }
            }
            fixture.close(near)
            fixture.finish()
        }

        @Test(
            "Racing with a peer that sends, no byte is lost or told twice",
            arguments: ConformanceBackends.real
        )
        func racing(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let (near, far) = try fixture.connection()
            let fd = try #require(far as? BlockingFarEnd).fd
            let bytes = Sockets.pattern(2000)
            let peer = try Peer(rousing: fixture.event) {
                // A byte for each that it is asked for: on its way while we cancel.
                for byte in bytes {
                    guard Sockets.receive(fd, exactly: 1).count == 1 else { return }
                    Sockets.sendAll(fd, [byte])
                }
            }
            var received: [UInt8] = []
            var cancelledCount = 0
            var one: UInt8 = 1
            for round in 0..<bytes.count {
                try #require(Socket.send(near, &one, count: 1) == 1)
                let operation = fixture.start(.receive(near))
                for _ in 0..<round % 4 { fixture.look(nanoseconds: 0) }
                fixture.cancel(operation)
                let answer = try fixture.answer(of: operation)
                if answer == .failure(.canceled) {
                    cancelledCount += 1
                    received += try fixture.answer(.receive(near)).bytes
                } else {
                    received += answer.bytes
                }
            }
            #expect(received == bytes)
            #expect(cancelledCount > 0)
            try fixture.join(peer)
            fixture.close(near)
            fixture.finish()
        }

        @Test(
            "A send, an accept and a watch are cancelled like a receive",
            arguments: ConformanceBackends.real
        )
        func otherKinds(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let (near, far) = try fixture.connection()
            let watch = fixture.start(.watch(near))
            let (listener, _) = try Sockets.listener()
            try fixture.engine.backend.register(listener)
            let accept = fixture.start(.accept(listener))
            let chunk = [UInt8](repeating: 1, count: 1 << 20)
            try chunk.withUnsafeBytes { bytes in
                let start = try #require(bytes.baseAddress)
                while try fixture.answer(.sendNow(near, start, count: bytes.count)).result > 0 {}
                let send = fixture.start(.send(near, start, count: bytes.count))
                fixture.turnOnce()
                #expect(!send.isAnswered)
                for operation in [watch, accept, send] { fixture.cancel(operation) }
                for operation in [watch, accept, send] {
                    #expect(try fixture.answer(of: operation) == .failure(.canceled))
                }
            }
            far.close()
            fixture.close(near)
            fixture.close(listener)
            fixture.finish()
        }

        @Test("a close ends everything, once each", arguments: ConformanceBackends.all)
        func all(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let connections = try (0..<20).map { _ in try fixture.connection() }
            let operations = connections.map { fixture.start(.receive($0.near)) }
            connections[3].far.send([1])
            fixture.engine.close()
            #expect(fixture.engine.operationCount == 0)
            for (index, operation) in operations.enumerated() {
                #expect(operation.answers.count == 1)
                if index != 3 { #expect(operation.answers.first == .failure(.canceled)) }
            }
            for connection in connections { fixture.close(connection.near) }
            fixture.finish()
        }
    }
}
