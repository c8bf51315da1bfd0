// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
internal import SystemPackage

/// Uses a backend for what a server needs, on a socket pair: versions lie in both directions.
///
/// A receive into a buffer of the pool, a receive that is cancelled, a wakeup. Anything else than
/// the right answer within a second is a refusal: EPROTO.
enum BackendSelfTest {
    private final class Answers: OperationOwner {
        var last: Completion?
        func complete(_ completion: Completion, kind: Submission.Kind) { last = completion }
    }

    static func run(_ backend: any Backend) throws(Errno) {
        let (near, far) = try Socket.pair()
        defer {
            Descriptor.close(near)
            Descriptor.close(far)
        }
        let engine = Engine(backend: backend)
        let answers = Answers()
        try backend.register(near)
        defer { backend.deregister(near) }

        _ = engine.submit(.receive(near), owner: answers)
        var word = UInt32(0x6e6f_7269)
        guard Socket.send(far, &word, count: 4) == 4 else { throw .protocolError }
        let received = try answer(of: engine, to: answers)
        let bytes = engine.bytes(of: received)
        guard bytes.count == 4, bytes.loadUnaligned(as: UInt32.self) == word,
            let buffer = received.buffer
        else { throw .protocolError }
        engine.giveBack(buffer)

        guard case .pending(let token) = engine.submit(.receive(near), owner: answers) else {
            throw .protocolError
        }
        engine.cancel(token)
        guard try answer(of: engine, to: answers).result == -Errno.canceled.rawValue else {
            throw .protocolError
        }

        let event = try Descriptor.event()
        defer { Descriptor.close(event) }
        try backend.watchWakeup(event)
        Descriptor.signalEvent(event)
        guard engine.look(nanoseconds: second, limit: 16) else { throw .protocolError }
    }

    private static let second: Int64 = 1_000_000_000

    private static func answer(
        of engine: Engine,
        to answers: Answers
    ) throws(Errno) -> Completion {
        let end = MonotonicClock.now + UInt64(second)
        while MonotonicClock.now < end {
            _ = engine.look(nanoseconds: second, limit: 16)
            engine.deliver(limit: 16)
            if let answer = answers.last.take() { return answer }
        }
        throw .protocolError
    }
}
