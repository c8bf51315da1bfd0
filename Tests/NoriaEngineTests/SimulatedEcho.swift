// SPDX-License-Identifier: Apache-2.0
import NoriaEngine
import NoriaSystem
import SystemPackage

/// Echo traffic between simulated sockets, both sides through one engine, driven by a seed.
///
/// Every operation is a small step of a state machine; at random it is cancelled and asked for
/// again. What went wrong is collected, not thrown, so that the seed's whole story is told.
final class SimulatedEcho {
    let kernel = SimulatedKernel()
    let backend: SimulatedBackend
    let engine: Engine
    private(set) var problems: [String] = []
    private var random: SplitMix64
    private var steps: [Step] = []
    private var clients: [Client] = []
    private let listener: Int32
    private var isEnding = false
    private(set) var echoedByteCount = 0
    private(set) var resetCount = 0

    private static let port: UInt16 = 7
    private static let clientCount = 12
    private static let turnLimit = 20_000

    init(seed: UInt64, faults: SimulatedFaults = .all) {
        random = SplitMix64(seed: seed &* 2 &+ 1)
        backend = SimulatedBackend(
            kernel: kernel,
            buffers: BufferPool(capacity: 3, byteCount: 48),
            faults: faults,
            seed: seed
        )
        engine = Engine(backend: backend)
        listener = kernel.listen(port: Self.port)
    }

    // MARK: Running

    func run() {
        register(listener)
        acceptNext()
        for index in 0..<Self.clientCount {
            clients.append(Client(self, index, byteCount: Int.random(in: 0...3000, using: &random)))
        }
        for client in clients { client.connect() }
        var turns = 0
        while !isDone, turns < Self.turnLimit {
            turns += 1
            turn()
        }
        if !isDone { problems.append("not done after \(turns) turns: \(states)") }
        isEnding = true
        engine.close()
        close(listener)
        judge()
    }

    /// Only the listener is open, and only its accept is under way.
    private var isDone: Bool {
        clients.allSatisfy(\.isDone) && kernel.openCount == 1 && engine.operationCount == 1
    }

    private var states: String {
        clients.filter { !$0.isDone }.map(\.state).joined(separator: ", ")
            + "; \(engine.operationCount) live"
    }

    private func turn() {
        cancelSomebody()
        let wait: Int64 = random.chance(50) ? 0 : 1_000_000
        _ = engine.look(nanoseconds: wait, limit: 4)
        engine.deliver(limit: Int.random(in: 1...8, using: &random))
    }

    private func cancelSomebody() {
        steps.removeAll { $0.isAnswered }
        guard random.chance(30), let step = steps.randomElement(using: &random) else { return }
        if let token = step.token { engine.cancel(token) }
    }

    private func judge() {
        problems += backend.violations
        if engine.operationCount != 0 {
            problems.append("\(engine.operationCount) live at the end")
        }
        if engine.buffers.freeCount != engine.buffers.capacity {
            problems.append("\(engine.buffers.freeCount) buffers are back")
        }
        // The listener is closed: whatever is still open leaked.
        if kernel.openCount != 0 { problems.append("\(kernel.openCount) descriptors leaked") }
        for client in clients {
            problems += client.verdict.map { ["client \(client.index): \($0)"] } ?? []
        }
    }

    // MARK: Verbs of the two sides

    fileprivate func register(_ fd: Int32) {
        do { try engine.backend.register(fd) } catch { problems.append("register \(fd): \(error)") }
    }

    fileprivate func close(_ fd: Int32) {
        engine.backend.deregister(fd)
        kernel.close(fd)
    }

    /// Submits until it is not cancelled any more; a cancelled operation did nothing.
    fileprivate func perform(
        _ submission: Submission,
        then finish: @escaping (Completion) -> Void
    ) {
        let step = Step(self) { [unowned self] completion in
            if completion.result == -Errno.canceled.rawValue {
                perform(submission, then: finish)
            } else {
                finish(completion)
            }
        }
        switch engine.submit(submission, owner: step) {
        case .pending(let token):
            step.token = token
            steps.append(step)
        case .done(let completion):
            step.complete(completion, kind: submission.kind)
        }
    }

    fileprivate func take(_ completion: Completion) -> [UInt8] {
        let bytes = [UInt8](engine.bytes(of: completion))
        if let buffer = completion.buffer { engine.giveBack(buffer) }
        return bytes
    }

    fileprivate func complain(_ text: String) { problems.append(text) }
    fileprivate func sawReset() { resetCount += 1 }
    fileprivate func echoed(_ count: Int) { echoedByteCount += count }
    fileprivate func chance(_ percent: Int) -> Bool { random.chance(percent) }

    private func acceptNext() {
        let step = Step(self) { [unowned self] completion in
            if completion.result >= 0 {
                register(completion.result)
                Server(self, completion.result).receive()
            } else if completion.result != -Errno.canceled.rawValue {
                problems.append("accept: \(completion.result)")
            }
            if isEnding { return }
            acceptNext()
        }
        switch engine.submit(.accept(listener), owner: step) {
        case .pending(let token):
            step.token = token
            steps.append(step)
        case .done(let completion): step.complete(completion, kind: .accept)
        }
    }
}

/// One operation of the traffic.
private final class Step: OperationOwner {
    private unowned let echo: SimulatedEcho
    private let finish: (Completion) -> Void
    var token: Token?
    private(set) var isAnswered = false

    init(_ echo: SimulatedEcho, _ finish: @escaping (Completion) -> Void) {
        (self.echo, self.finish) = (echo, finish)
    }

    func complete(_ completion: Completion, kind: Submission.Kind) {
        if isAnswered { echo.complain("\(kind) was answered twice") }
        isAnswered = true
        finish(completion)
    }
}

/// Bytes on their way out, in memory that is freed as soon as the last send is done.
private final class Outbound {
    private let memory: UnsafeMutableRawBufferPointer
    private(set) var sentCount = 0

    init(_ bytes: [UInt8]) {
        memory = .allocate(byteCount: bytes.count, alignment: 1)
        memory.copyBytes(from: bytes)
    }

    deinit {
        // What is read after this shows as a wrong byte.
        for index in memory.indices { memory[index] = 0xee }
        memory.deallocate()
    }

    var isEmpty: Bool { sentCount == memory.count }

    func send(_ fd: Int32, now: Bool) -> Submission {
        let rest = UnsafeRawBufferPointer(rebasing: memory[sentCount...])
        guard let start = rest.baseAddress else { preconditionFailure("nothing is left to send") }
        return now ? .sendNow(fd, start, count: rest.count) : .send(fd, start, count: rest.count)
    }

    func sent(_ count: Int32) { sentCount += Int(count) }
}

/// The accepted side: it sends back what it receives, and its end after the peer's.
private final class Server {
    private let echo: SimulatedEcho
    private let fd: Int32

    init(_ echo: SimulatedEcho, _ fd: Int32) { (self.echo, self.fd) = (echo, fd) }

    func receive() {
        echo.perform(.receive(fd)) { completion in
            switch completion.result {
            case 1...: self.send(Outbound(self.echo.take(completion)))
            case 0: self.echo.close(self.fd)
            default: self.fail(completion)
            }
        }
    }

    private func send(_ outbound: Outbound) {
        let isNow = echo.chance(30)
        echo.perform(outbound.send(fd, now: isNow)) { completion in
            if isNow, completion.result == -Errno.resourceTemporarilyUnavailable.rawValue {
                return self.send(outbound)
            }
            guard completion.result > 0 else { return self.fail(completion) }
            outbound.sent(completion.result)
            if outbound.isEmpty { self.receive() } else { self.send(outbound) }
        }
    }

    private func fail(_ completion: Completion) {
        echo.sawReset()
        echo.close(fd)
    }
}

/// The connecting side: it sends a pattern, shuts its direction, and reads all of it back.
private final class Client {
    private unowned let echo: SimulatedEcho
    let index: Int
    private let fd: Int32
    private let pattern: [UInt8]
    private let address: UnsafeMutablePointer<SocketStorage>
    private var received: [UInt8] = []
    private var directions = 2
    private(set) var isDone = false
    private var wasReset = false

    init(_ echo: SimulatedEcho, _ index: Int, byteCount: Int) {
        (self.echo, self.index) = (echo, index)
        pattern = Sockets.pattern(byteCount, from: index * 1000)
        fd = echo.kernel.stream()
        address = .allocate(capacity: 1)
        address.initialize(to: SocketStorage(literal: "127.0.0.1", port: 7) ?? SocketStorage())
    }

    deinit { address.deallocate() }

    var state: String { "\(index): \(received.count) of \(pattern.count), \(directions) open" }

    func connect() {
        echo.register(fd)
        echo.perform(.connect(fd, to: address)) { completion in
            guard completion.result == 0 else {
                self.echo.complain("client \(self.index) did not connect: \(completion.result)")
                self.directions = 1
                return self.finishDirection()
            }
            self.send(Outbound(self.pattern))
            self.receive()
        }
    }

    private func send(_ outbound: Outbound) {
        guard !outbound.isEmpty else {
            echo.kernel.shutDownWriting(fd)
            return finishDirection()
        }
        echo.perform(outbound.send(fd, now: false)) { completion in
            guard completion.result > 0 else { return self.fail(completion) }
            outbound.sent(completion.result)
            self.send(outbound)
        }
    }

    private func receive() {
        echo.perform(.receive(fd)) { completion in
            switch completion.result {
            case 1...:
                self.received += self.echo.take(completion)
                self.receive()
            case 0: self.finishDirection()
            default: self.fail(completion)
            }
        }
    }

    private func fail(_ completion: Completion) {
        wasReset = true
        finishDirection()
    }

    private func finishDirection() {
        directions -= 1
        guard directions == 0 else { return }
        isDone = true
        echo.echoed(received.count)
        echo.close(fd)
    }

    /// What is wrong with what came back; a connection that was reset may lack its end.
    var verdict: String? {
        if !pattern.starts(with: received) { return "its bytes came back changed" }
        if !wasReset, received.count != pattern.count {
            return "\(received.count) of \(pattern.count) bytes came back, with no reset"
        }
        return nil
    }
}
