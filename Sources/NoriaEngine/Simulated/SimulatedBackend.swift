// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
package import SystemPackage

/// A backend without a kernel, for tests: what happens, and when, follows from a seed.
///
/// It may do whatever the contract of `Backend` lets a real one do, and counts each fault, so
/// that a test can show that it met them. It is strict where a real one is silent: a send reads
/// its bytes when it is done, not when it is submitted, and a buffer that was given back is
/// poisoned and must come into the next receive untouched.
package final class SimulatedBackend: Backend {
    private struct Pending {
        let submission: Submission
        let token: Token
        /// The socket, not its number: the number may have another tenant by then.
        let socket: SimulatedKernel.Socket?
        var waitsLeft: Int
        var isCancelled = false
    }

    private static let poison: UInt8 = 0xdb

    package let kind = BackendKind.simulated
    package let features: [String] = []
    package let buffers: BufferPool
    package let kernel: SimulatedKernel
    private let faults: SimulatedFaults
    private var random: SplitMix64
    private var registered: Set<Int32> = []
    private var wakeup: Int32 = -1
    private var pending: [Pending] = []
    /// Completions that the queue did not hold, and those of cancelled operations.
    private var heldBack: [Completion] = []
    private var isFree: [Bool]

    /// How often each fault came.
    package private(set) var faultCounts: [SimulatedFault: Int] = [:]
    /// What the engine or an owner did against the contract.
    package private(set) var violations: [String] = []
    /// Waits without end in which nothing could ever happen.
    package private(set) var deadlockCount = 0

    package init(
        kernel: SimulatedKernel,
        buffers: BufferPool,
        faults: SimulatedFaults = .none,
        seed: UInt64 = 0
    ) {
        (self.kernel, self.buffers, self.faults) = (kernel, buffers, faults)
        random = SplitMix64(seed: seed)
        isFree = Array(repeating: true, count: buffers.capacity)
        for index in 0..<buffers.capacity { poison(BufferID(rawValue: UInt16(index))) }
    }

    // MARK: Descriptors

    package func register(_ fd: Int32, stopsShort: Bool) throws(Errno) {
        guard kernel.socket(fd) != nil else { throw .badFileDescriptor }
        if !registered.insert(fd).inserted { violations.append("\(fd) was registered twice") }
    }

    package func deregister(_ fd: Int32) {
        if registered.remove(fd) == nil { violations.append("\(fd) was not registered") }
        if let socket = kernel.socket(fd), pending.contains(where: { $0.socket === socket }) {
            violations.append("\(fd) was deregistered before its last completion")
        }
    }

    package func watchWakeup(_ fd: Int32) throws(Errno) {
        try register(fd)
        wakeup = fd
    }

    // MARK: Operations

    package func submit(_ submission: Submission, token: Token) -> Completion? {
        guard !submission.kind.isAboutFile else {
            return Completion(token: token, result: -Errno.notSupported.rawValue)
        }
        guard registered.contains(submission.descriptor) else {
            return Completion(token: token, result: -Errno.badFileDescriptor.rawValue)
        }
        let socket = kernel.socket(submission.descriptor)
        var operation = Pending(
            submission: submission,
            token: token,
            socket: socket,
            waitsLeft: 0
        )
        if random.chance(faults.percentage(of: .doneAtOnce)), let done = attempt(operation) {
            count(.doneAtOnce)
            return done
        }
        if random.chance(faults.percentage(of: .delayed)) {
            operation.waitsLeft = Int.random(in: 1...3, using: &random)
            count(.delayed)
        }
        pending.append(operation)
        return nil
    }

    package func cancel(_ token: Token, kind: Submission.Kind, descriptor: Int32) {
        guard let index = pending.firstIndex(where: { $0.token == token }) else { return }
        pending[index].isCancelled = true
    }

    package func giveBack(_ buffer: BufferID) {
        guard !isFree[Int(buffer.rawValue)] else {
            violations.append("buffer \(buffer.rawValue) was given back twice")
            return
        }
        isFree[Int(buffer.rawValue)] = true
        poison(buffer)
        buffers.giveBack(buffer)
    }

    private func poison(_ buffer: BufferID) {
        memory(of: buffer).initializeMemory(as: UInt8.self, repeating: Self.poison)
    }

    private func memory(of buffer: BufferID) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: buffers.start(of: buffer), count: buffers.byteCount)
    }

    // MARK: Waiting

    package func wait(
        nanoseconds: Int64,
        limit: Int,
        into completions: inout CompletionQueue
    ) -> Bool {
        kernel.now += 1000
        resetSomebody()
        var ended = heldBack
        heldBack = []
        advance(into: &ended)
        if random.chance(faults.percentage(of: .spuriousWakeup)) {
            count(.spuriousWakeup)
            hand(over: ended, limit: limit, into: &completions)
            return true
        }
        let wasRoused = takeWakeup()
        // What was delayed is done some waits later: within this one, if it is a long one.
        while nanoseconds != 0, !wasRoused, ended.isEmpty, pending.contains(where: isDelayed) {
            advance(into: &ended)
        }
        if nanoseconds != 0, !wasRoused, ended.isEmpty {
            if nanoseconds < 0 { deadlockCount += 1 } else { kernel.now += UInt64(nanoseconds) }
        }
        hand(over: ended, limit: limit, into: &completions)
        return wasRoused
    }

    private func isDelayed(_ operation: Pending) -> Bool { operation.waitsLeft > 0 }

    /// Does what can be done by now.
    private func advance(into ended: inout [Completion]) {
        var left: [Pending] = []
        for var operation in pending {
            if operation.waitsLeft > 0 {
                operation.waitsLeft -= 1
                left.append(operation)
            } else if let completion = outcome(of: operation) {
                ended.append(completion)
            } else {
                left.append(operation)
            }
        }
        pending = left
        if ended.count > 1, random.chance(faults.percentage(of: .reordered)) {
            count(.reordered)
            ended.shuffle(using: &random)
        }
    }

    private func outcome(of operation: Pending) -> Completion? {
        guard operation.isCancelled else { return attempt(operation) }
        if random.chance(faults.percentage(of: .cancelTooLate)), let done = attempt(operation) {
            count(.cancelTooLate)
            return done
        }
        if operation.socket.map(kernel.isReadable) == true { count(.cancelInTime) }
        return Completion(token: operation.token, result: -Errno.canceled.rawValue)
    }

    private func hand(
        over ended: [Completion],
        limit: Int,
        into completions: inout CompletionQueue
    ) {
        if ended.count > faults.queueCapacity { count(.overflow) }
        let capacity = min(limit, faults.queueCapacity)
        for completion in ended.prefix(capacity) { completions.append(completion) }
        heldBack = Array(ended.dropFirst(capacity))
    }

    private func takeWakeup() -> Bool {
        guard let event = kernel.socket(wakeup), let counter = event.counter, counter > 0 else {
            return false
        }
        event.counter = 0
        return true
    }

    private func resetSomebody() {
        guard random.chance(faults.percentage(of: .peerReset)),
            let victim = kernel.connected.randomElement(using: &random), let peer = victim.peer
        else { return }
        count(.peerReset)
        kernel.reset(peer)
        kernel.reset(victim)
    }

    // MARK: Trying

    /// Does an operation, or nil when it has to wait.
    private func attempt(_ operation: Pending) -> Completion? {
        let submission = operation.submission
        guard let socket = operation.socket else {
            return Completion(token: operation.token, result: -Errno.badFileDescriptor.rawValue)
        }
        let result: Int
        switch submission.kind {
        case .accept: result = kernel.accept(socket)
        case .connect: result = connect(socket, submission)
        case .receive: return receive(socket, operation.token)
        case .send, .sendParts, .sendNow: result = send(socket, submission)
        case .watch:
            guard kernel.isReadable(socket) else { return nil }
            result = 0
        case .room:
            guard kernel.isWritable(socket) else { return nil }
            result = 0
        case .readFile, .writeFile, .syncFile:
            result = SimulatedKernel.failure(.notSupported)
        }
        if result == SimulatedKernel.failure(.resourceTemporarilyUnavailable),
            submission.kind != .sendNow
        {
            return nil
        }
        return Completion(token: operation.token, result: Int32(truncatingIfNeeded: result))
    }

    private func connect(_ socket: SimulatedKernel.Socket, _ submission: Submission) -> Int {
        guard let address = submission.bytes?.assumingMemoryBound(to: SocketStorage.self) else {
            preconditionFailure("a connect has an address")
        }
        return kernel.connect(socket, port: address.pointee.port ?? 0)
    }

    private func send(_ socket: SimulatedKernel.Socket, _ submission: Submission) -> Int {
        var count = submission.byteCount
        if min(count, kernel.room(to: socket)) > 1,
            random.chance(faults.percentage(of: .shortSend))
        {
            count = Int.random(in: 1..<min(count, kernel.room(to: socket)), using: &random)
            self.count(.shortSend)
        }
        guard submission.kind == .sendParts, let message = submission.bytes else {
            return kernel.send(
                socket,
                UnsafeRawBufferPointer(start: submission.bytes, count: count)
            )
        }
        return SendParts.bytes(of: message).prefix(count).withContiguousStorageIfAvailable {
            kernel.send(socket, UnsafeRawBufferPointer($0))
        } ?? 0
    }

    private func receive(_ socket: SimulatedKernel.Socket, _ token: Token) -> Completion? {
        guard kernel.isReadable(socket) else { return nil }
        guard !random.chance(faults.percentage(of: .noBuffer)), let buffer = buffers.take() else {
            count(.noBuffer)
            return Completion(token: token, result: -Errno.noBufferSpace.rawValue)
        }
        check(buffer)
        var count = buffers.byteCount
        if min(count, socket.inbound.count) > 1,
            random.chance(faults.percentage(of: .shortReceive))
        {
            count = Int.random(in: 1..<min(count, socket.inbound.count), using: &random)
            self.count(.shortReceive)
        }
        let memory = UnsafeMutableRawBufferPointer(rebasing: memory(of: buffer).prefix(count))
        let result = kernel.receive(socket, into: memory)
        guard result > 0 else {
            buffers.giveBack(buffer)
            return Completion(token: token, result: Int32(truncatingIfNeeded: result))
        }
        isFree[Int(buffer.rawValue)] = false
        return Completion(token: token, result: Int32(result), buffer: buffer)
    }

    /// Sees that nobody has used a buffer after it was given back.
    private func check(_ buffer: BufferID) {
        if !isFree[Int(buffer.rawValue)] {
            violations.append("buffer \(buffer.rawValue) came into a receive while it was in use")
        }
        if memory(of: buffer).contains(where: { $0 != Self.poison }) {
            violations.append("buffer \(buffer.rawValue) was written to after it was given back")
        }
    }

    private func count(_ fault: SimulatedFault) { faultCounts[fault, default: 0] += 1 }
}
