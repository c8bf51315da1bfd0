// SPDX-License-Identifier: Apache-2.0
import Glibc
import NoriaEngine
import NoriaSystem
import Synchronization
import SystemPackage
import Testing

extension Conformance {
    @Suite struct Listening {
        @Test(
            "Every connection is accepted once, and its descriptor does not block or leak",
            arguments: ConformanceBackends.real
        )
        func accepts(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let (listener, address) = try Sockets.listener()
            try fixture.engine.backend.register(listener)
            let count = 50
            let peer = try Peer(rousing: fixture.event) {
                for index in 0..<count {
                    let fd = Sockets.connect(to: address)
                    Sockets.sendAll(fd, [UInt8(index)])
                    // Held until the near side has read and closed.
                    _ = Sockets.receive(fd, exactly: 1)
                    Descriptor.close(fd)
                }
            }
            var seen: [UInt8] = []
            for _ in 0..<count {
                let fd = try fixture.answer(.accept(listener)).result
                try #require(fd >= 0)
                #expect(fcntl(fd, F_GETFL) & O_NONBLOCK != 0)
                #expect(fcntl(fd, F_GETFD) & FD_CLOEXEC != 0)
                try fixture.engine.backend.register(fd)
                seen += try fixture.answer(.receive(fd)).bytes
                fixture.close(fd)
            }
            #expect(seen == (0..<count).map { UInt8($0) })
            try fixture.join(peer)
            let idle = fixture.start(.accept(listener))
            fixture.turnOnce()
            #expect(!idle.isAnswered)
            fixture.cancel(idle)
            #expect(try fixture.answer(of: idle) == .failure(.canceled))
            fixture.close(listener)
            fixture.finish()
        }

        @Test(
            "A connect that is answered, and one that is refused",
            arguments: ConformanceBackends.real
        )
        func connects(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let (listener, address) = try Sockets.listener()
            Sockets.setBlocking(listener)
            let peer = try Peer(rousing: fixture.event) {
                let fd = accept(listener, nil, nil)
                Sockets.sendAll(fd, [4, 2])
                Descriptor.close(fd)
            }
            try fixture.withConnect(to: address) { fd, operation in
                let answer = try fixture.answer(of: operation)
                #expect(answer == Answer(result: 0))
                let bytes = try fixture.receive(fd, exactly: 3)
                #expect(bytes == [4, 2])
            }
            try fixture.join(peer)
            Descriptor.close(listener)
            try fixture.withConnect(to: try Sockets.deadAddress()) { _, operation in
                let answer = try fixture.answer(of: operation)
                #expect(answer == .failure(.connectionRefused))
            }
            fixture.finish()
        }

        @Test("A connect that nobody answers is cancelled", arguments: ConformanceBackends.real)
        func cancelledConnect(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            // A full queue: the kernel drops what comes, and the connecting side asks again.
            let (listener, address) = try Sockets.listener(backlog: 0)
            let filler = try (0..<3).map { _ in
                let fd = try Socket.stream(isIPv6: false)
                _ = Socket.connect(fd, to: address)
                return fd
            }
            try fixture.withConnect(to: address) { _, operation in
                fixture.turnOnce()
                #expect(!operation.isAnswered)
                fixture.cancel(operation)
                let answer = try fixture.answer(of: operation)
                #expect(answer == .failure(.canceled))
            }
            for fd in filler + [listener] { Descriptor.close(fd) }
            fixture.finish()
        }

        @Test(
            "With no descriptor left an accept says EMFILE, and the connection waits",
            arguments: ConformanceBackends.real
        )
        func descriptorsExhausted(_ kind: BackendKind) throws {
            let outcome = Mutex<[String]>([])
            // The limit is the process's, but the table can be a thread's own (unshare(2)): only
            // there is it full, and it goes with the thread.
            let done = Atomic<Bool>(false)
            let event = try Descriptor.event()
            defer { Descriptor.close(event) }
            try Thread.start {
                let problems = Self.acceptWithFullTable(kind)
                outcome.withLock { $0 = problems }
                done.store(true, ordering: .releasing)
                Descriptor.signalEvent(event)
            }
            let waiter = try ConformanceFixture(.poll)
            try waiter.engine.backend.register(event)
            _ = try waiter.answer(.watch(event))
            let isDone = done.load(ordering: .acquiring)
            #expect(isDone)
            #expect(outcome.withLock { $0 } == [])
        }

        /// On a thread of its own: what went wrong.
        private static func acceptWithFullTable(_ kind: BackendKind) -> [String] {
            guard Sockets.unshareDescriptors() else { return ["unshare: \(errno)"] }
            do {
                let fixture = try ConformanceFixture(kind, bufferCapacity: 4)
                let (listener, address) = try Sockets.listener()
                try fixture.engine.backend.register(listener)
                let client = try Socket.stream(isIPv6: false)
                var taken: [Int32] = []
                while case let fd = dup(client), fd >= 0 { taken.append(fd) }
                _ = Socket.connect(client, to: address)
                var problems: [String] = []
                for _ in 0..<2 {
                    let answer = try fixture.answer(.accept(listener))
                    if answer.error != .tooManyOpenFiles { problems.append("\(answer)") }
                }
                for fd in taken { Descriptor.close(fd) }
                let later = try fixture.answer(.accept(listener))
                if later.result < 0 { problems.append("it was lost: \(later)") }
                if fixture.engine.operationCount != 0 { problems.append("live operations") }
                return problems
            } catch {
                return ["\(error)"]
            }
        }
    }
}

extension ConformanceFixture {
    /// Begins a connect whose address stays where it is until the end of `body`.
    func withConnect(
        to address: SocketStorage,
        _ body: (Int32, Operation) throws -> Void
    ) throws {
        let fd = try Socket.stream(isIPv6: address.isIPv6)
        try engine.backend.register(fd)
        defer { close(fd) }
        try withUnsafePointer(to: address) { pointer in
            try body(fd, start(.connect(fd, to: pointer)))
        }
    }
}
