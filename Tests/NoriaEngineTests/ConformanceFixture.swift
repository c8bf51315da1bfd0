// SPDX-License-Identifier: Apache-2.0
import Glibc
import NoriaEngine
import NoriaSystem
import Synchronization
import SystemPackage
import Testing

/// What an operation was answered, its bytes copied and its buffer given back.
struct Answer: Equatable {
    var result: Int32
    var bytes: [UInt8] = []

    var error: Errno? { result < 0 ? Errno(rawValue: -result) : nil }

    static func failure(_ error: Errno) -> Answer { Answer(result: -error.rawValue) }
    static let end = Answer(result: 0)
    static func received(_ bytes: [UInt8]) -> Answer {
        Answer(result: Int32(bytes.count), bytes: bytes)
    }
}

/// One operation of a test, which keeps all that it is told.
final class Operation: OperationOwner {
    private unowned let fixture: ConformanceFixture
    fileprivate(set) var token: Token?
    private(set) var answers: [Answer] = []
    /// The buffer of the answer, when the operation was asked to keep it.
    private(set) var kept: BufferID?
    private let keepsBuffer: Bool
    private let whenAnswered: ((Operation) -> Void)?

    init(
        _ fixture: ConformanceFixture,
        keepsBuffer: Bool,
        whenAnswered: ((Operation) -> Void)?
    ) {
        (self.fixture, self.keepsBuffer) = (fixture, keepsBuffer)
        self.whenAnswered = whenAnswered
    }

    var isAnswered: Bool { !answers.isEmpty }

    func complete(_ completion: Completion, kind: Submission.Kind) {
        let bytes = [UInt8](fixture.engine.bytes(of: completion))
        answers.append(Answer(result: completion.result, bytes: bytes))
        if keepsBuffer {
            kept = completion.buffer
        } else if let buffer = completion.buffer {
            fixture.engine.giveBack(buffer)
        }
        whenAnswered?(self)
    }

    func giveBack() { if let buffer = kept.take() { fixture.engine.giveBack(buffer) } }
}

/// A wait that did not end within ten seconds: nothing else in the suite takes one.
struct Hang: Error, CustomStringConvertible {
    let description: String
}

/// One engine under test, with connections for it, and what must hold when it ends.
final class ConformanceFixture {
    let engine: Engine
    let kind: BackendKind
    let kernel: SimulatedKernel?
    let event: Int32
    /// How often the kernel was looked at: a busy loop shows here.
    private(set) var lookCount = 0
    private(set) var rousedCount = 0

    init(
        _ kind: BackendKind,
        bufferCapacity: Int = 64,
        bufferByteCount: Int = 4096,
        faults: SimulatedFaults = .none,
        seed: UInt64 = 1
    ) throws {
        self.kind = kind
        if kind == .simulated {
            let kernel = SimulatedKernel()
            let buffers = BufferPool(capacity: bufferCapacity, byteCount: bufferByteCount)
            let backend = SimulatedBackend(
                kernel: kernel,
                buffers: buffers,
                faults: faults,
                seed: seed
            )
            (self.kernel, engine) = (kernel, Engine(backend: backend))
            event = kernel.event()
        } else {
            let (backend, refusals) = BackendSelection.make(
                [kind],
                bufferCapacity: bufferCapacity,
                bufferByteCount: bufferByteCount
            )
            kernel = nil
            engine = Engine(backend: try #require(backend, "\(refusals)"))
            event = try Descriptor.event()
        }
        #expect(engine.backend.kind == kind)
        try engine.backend.watchWakeup(event)
    }

    deinit { if kernel == nil { Descriptor.close(event) } }

    /// What holds at the end of every test: nothing under way, every buffer back.
    func finish(sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(engine.operationCount == 0, "live operations", sourceLocation: sourceLocation)
        #expect(
            engine.backend.freeBufferCount == engine.buffers.capacity,
            "buffers are missing",
            sourceLocation: sourceLocation
        )
        if let simulated = engine.backend as? SimulatedBackend {
            #expect(simulated.violations == [], sourceLocation: sourceLocation)
        }
    }

    // MARK: Connections

    /// A connection whose near end is registered.
    func connection() throws -> (near: Int32, far: any FarEnd) {
        let near: Int32
        let far: any FarEnd
        if let kernel {
            let (first, second) = kernel.pair()
            (near, far) = (first, SimulatedFarEnd(kernel, second))
        } else {
            let (first, second) = try Sockets.connectedPair()
            (near, far) = (first, BlockingFarEnd(second))
        }
        try engine.backend.register(near)
        return (near, far)
    }

    /// The same without TCP, for subjects that need thousands.
    func cheapConnection() throws -> (near: Int32, far: any FarEnd) {
        guard kernel == nil else { return try connection() }
        let (near, far) = try Socket.pair()
        Sockets.setBlocking(far)
        try engine.backend.register(near)
        return (near, BlockingFarEnd(far))
    }

    func close(_ near: Int32) {
        engine.backend.deregister(near)
        closeOnly(near)
    }

    func closeOnly(_ near: Int32) {
        if let kernel { kernel.close(near) } else { Descriptor.close(near) }
    }

    func shutDownWriting(_ near: Int32) throws {
        if let kernel { kernel.shutDownWriting(near) } else { try Socket.shutDownWriting(near) }
    }

    // MARK: Operations

    /// Submits; one that was done at once is answered like any other.
    func start(
        _ submission: Submission,
        keepsBuffer: Bool = false,
        whenAnswered: ((Operation) -> Void)? = nil
    ) -> Operation {
        let operation = Operation(self, keepsBuffer: keepsBuffer, whenAnswered: whenAnswered)
        switch engine.submit(submission, owner: operation) {
        case .pending(let token): operation.token = token
        case .done(let completion): operation.complete(completion, kind: submission.kind)
        }
        return operation
    }

    func cancel(_ operation: Operation) { operation.token.map(engine.cancel) }

    /// Submits, and turns until the one answer is there.
    func answer(_ submission: Submission) throws -> Answer { try answer(of: start(submission)) }

    func answer(of operation: Operation) throws -> Answer {
        try turn("an answer") { operation.isAnswered }
        #expect(operation.answers.count == 1, "one completion for one operation")
        return try #require(operation.answers.first)
    }

    /// Receives until `count` bytes are there, or the end, or an error.
    func receive(_ fd: Int32, exactly count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let answer = try answer(.receive(fd))
            guard answer.result > 0 else { break }
            bytes += answer.bytes
        }
        return bytes
    }

    // MARK: Turning

    func turn(
        _ what: String,
        limit: Int = 256,
        until condition: () -> Bool
    ) throws {
        let end = MonotonicClock.now + 10_000_000_000
        while !condition() {
            let now = MonotonicClock.now
            guard now < end else { throw Hang(description: "\(kind): waited in vain for \(what)") }
            look(nanoseconds: Int64(end - now), limit: limit)
            engine.deliver(limit: limit)
        }
        // Had it come by itself, no wait would have lasted to its end.
        if MonotonicClock.now >= end { throw Hang(description: "\(kind): slept over \(what)") }
    }

    /// Turns while there is something to do, without waiting.
    func turnOnce(limit: Int = 256) {
        look(nanoseconds: 0, limit: limit)
        engine.deliver(limit: limit)
    }

    func look(nanoseconds: Int64, limit: Int = 256) {
        lookCount += 1
        if engine.look(nanoseconds: nanoseconds, limit: limit) { rousedCount += 1 }
    }

    /// Turns until a peer's thread has ended.
    func join(_ peer: Peer) throws {
        try turn("a peer's end") { peer.isDone }
    }
}

/// A thread with blocking calls, which rouses the engine as it ends.
final class Peer: Sendable {
    private let done = Atomic<Bool>(false)

    var isDone: Bool { done.load(ordering: .acquiring) }

    init(rousing event: Int32, _ body: @escaping @Sendable () -> Void) throws {
        // A copy of its own: the fixture may be gone, and the number another's, by the last write.
        let copy = dup(event)
        try Thread.start { [self] in
            body()
            done.store(true, ordering: .releasing)
            Descriptor.signalEvent(copy)
            Descriptor.close(copy)
        }
    }
}
