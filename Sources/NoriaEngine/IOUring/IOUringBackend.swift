// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
internal import SystemPackage

/// Completions from the kernel itself: io_uring(7), one ring a loop.
///
/// Everything that a turn submits goes over in the one `enter` in which it waits. The kernel
/// takes receive buffers from a ring that both share: as many lie in it as receives are armed, so
/// that few connections use few, warm buffers, and an idle connection pins none of its own.
///
/// SAFETY (`@exclusivity(unchecked)`): the loop's thread alone comes here, and no access spans a
/// call that reaches the same property again.
final class IOUringBackend: Backend {
    let kind = BackendKind.ioUring
    let buffers: BufferPool
    let takesFiles: Bool
    private let ring: Ring

    @exclusivity(unchecked) private var armedReceives = 0
    @exclusivity(unchecked) private var provided = 0
    private var wakeup: Int32 = -1

    /// What one turn submits at most without an `enter` in between.
    private static let submissionCapacity = 256
    /// Answers that the kernel keeps for us before it has to keep them elsewhere.
    private static let completionCapacity = 4096
    private static let answersPerTake = 256
    /// The kernel's own threads that may wait for this loop's files, as many as those of the pool
    /// for calls that block: without it 4 for each processor of the machine, whatever its share.
    private static let workerLimit = min(32, Affinity.processorCount * 4)

    init(buffers: BufferPool) throws(Errno) {
        self.buffers = buffers
        ring = try Ring(
            entries: Self.submissionCapacity,
            completions: Self.completionCapacity,
            answersPerTake: Self.answersPerTake
        )
        guard
            ring.supports([.pollAdd, .accept, .cancel, .connect, .send, .sendMessage, .receive])
        else {
            throw .notSupported
        }
        takesFiles = ring.supports([.read, .write, .sync])
        ring.workerLimit = Self.workerLimit
        // A ring's size is a power of two; the pool may be smaller.
        var count = 1
        while count < buffers.capacity { count *= 2 }
        try ring.registerBuffers(count: count)
    }

    var features: [String] {
        ring.features + [takesFiles ? "FILES" : "no FILES (it lacks READ, WRITE or FSYNC)"]
    }
    var completionCapacity: Int { Self.completionCapacity }
    var overflowCount: Int { ring.overflowCount }

    // MARK: Descriptors

    // The ring takes any descriptor as it comes, and forgets it with its last operation.
    func register(_ fd: Int32, stopsShort: Bool) {}
    func deregister(_ fd: Int32) {}

    func watchWakeup(_ fd: Int32) {
        wakeup = fd
        armWakeup()
    }

    private func armWakeup() {
        // Polled and then read: a read through the ring would fail at once on a non-blocking
        // eventfd instead of waiting.
        var entry = Ring.Entry(.pollAdd, fd: wakeup, userData: Self.wakeupToken.rawValue)
        entry.flags = Ring.Flags.readable
        prepare(entry)
    }

    private static let wakeupToken = Token(slot: 0, generation: 0, kind: .wakeup)
    private static let cancellationToken = Token(slot: 0, generation: 0, kind: .cancellation)

    // MARK: Operations

    func submit(_ submission: Submission, token: Token) -> Completion? {
        switch submission.kind {
        case .receive:
            armReceive(submission.descriptor, token)
        case .send, .sendNow:
            var entry = Ring.Entry(.send, fd: submission.descriptor, userData: token.rawValue)
            entry.address = UInt64(UInt(bitPattern: submission.bytes))
            entry.length = UInt32(clamping: submission.byteCount)
            // Without waiting it is done inside the `enter`, and answers EAGAIN otherwise.
            entry.flags = submission.kind == .send ? Ring.Flags.noSignal : Ring.Flags.sendNow
            prepare(entry)
        case .sendParts:
            var entry = Ring.Entry(
                .sendMessage,
                fd: submission.descriptor,
                userData: token.rawValue
            )
            entry.address = UInt64(UInt(bitPattern: submission.bytes))
            entry.length = 1
            entry.flags = Ring.Flags.noSignal
            prepare(entry)
        case .accept:
            var entry = Ring.Entry(.accept, fd: submission.descriptor, userData: token.rawValue)
            entry.flags = Ring.Flags.accepted
            prepare(entry)
        case .connect:
            guard let storage = submission.bytes?.assumingMemoryBound(to: SocketStorage.self)
            else { preconditionFailure("a connect has an address") }
            let (address, byteCount) = SocketStorage.bytes(of: storage)
            var entry = Ring.Entry(.connect, fd: submission.descriptor, userData: token.rawValue)
            entry.address = UInt64(UInt(bitPattern: address))
            entry.offset = UInt64(byteCount)
            prepare(entry)
        case .watch:
            let token = token.marked(as: .watch)
            var entry = Ring.Entry(.pollAdd, fd: submission.descriptor, userData: token.rawValue)
            entry.flags = Ring.Flags.readable
            prepare(entry)
        case .room:
            let token = token.marked(as: .watch)
            var entry = Ring.Entry(.pollAdd, fd: submission.descriptor, userData: token.rawValue)
            entry.flags = Ring.Flags.writable
            prepare(entry)
        case .readFile, .writeFile, .syncFile:
            guard takesFiles else {
                return Completion(token: token, result: -Errno.notSupported.rawValue)
            }
            prepareFile(submission, token)
        }
        return nil
    }

    /// What lies in the kernel's memory is read inside the `enter`; for the rest, writes and syncs
    /// it has threads of its own, `workerLimit` of them.
    private func prepareFile(_ submission: Submission, _ token: Token) {
        let operation: Ring.Operation =
            switch submission.kind {
            case .readFile: .read
            case .writeFile: .write
            default: .sync
            }
        var entry = Ring.Entry(operation, fd: submission.descriptor, userData: token.rawValue)
        if let part = submission.bytes?.assumingMemoryBound(to: FilePart.self).pointee {
            entry.address = UInt64(UInt(bitPattern: part.memory))
            entry.length = UInt32(clamping: part.count)
            entry.offset = UInt64(part.offset ?? 0)
            if part.offset == nil { entry.flags = Ring.Flags.append }
        }
        prepare(entry)
    }

    private func armReceive(_ fd: Int32, _ token: Token) {
        armedReceives &+= 1
        if provided < armedReceives, let buffer = buffers.take() { provide(buffer) }
        let token = token.marked(as: .receive)
        var entry = Ring.Entry(.receive, fd: fd, userData: token.rawValue)
        entry.length = UInt32(buffers.byteCount)
        entry.selectsBuffer = true
        // Mostly the peer has not answered yet: a try would be for nothing. With no buffer in
        // the ring it also keeps an idle socket's receive from ending with ENOBUFS at once.
        entry.pollsFirst = true
        prepare(entry)
    }

    func cancel(_ token: Token, kind: Submission.Kind, descriptor: Int32) {
        var entry = Ring.Entry(.cancel, fd: -1, userData: Self.cancellationToken.rawValue)
        switch kind {
        case .receive: entry.address = token.marked(as: .receive).rawValue
        case .watch, .room: entry.address = token.marked(as: .watch).rawValue
        case .accept, .connect, .send, .sendParts, .sendNow, .readFile, .writeFile, .syncFile:
            entry.address = token.rawValue
        }
        prepare(entry)
    }

    func giveBack(_ buffer: BufferID) {
        if provided < armedReceives { provide(buffer) } else { buffers.giveBack(buffer) }
    }

    var freeBufferCount: Int { buffers.freeCount + provided }

    private func provide(_ buffer: BufferID) {
        provided &+= 1
        ring.provide(
            buffer.rawValue,
            at: buffers.start(of: buffer),
            byteCount: buffers.byteCount
        )
    }

    private func prepare(_ entry: Ring.Entry) {
        guard !ring.prepare(entry) else { return }
        // Full: the kernel takes what is there, without waiting for anything.
        enter(minimum: 0, nanoseconds: 0)
        precondition(ring.prepare(entry), "the kernel took nothing of a full submission queue")
    }

    // MARK: Waiting

    func wait(nanoseconds: Int64, limit: Int, into completions: inout CompletionQueue) -> Bool {
        // A look that can find nothing is none: all answers lie in shared memory.
        if nanoseconds != 0 || ring.hasPrepared || ring.wantsEntry {
            enter(minimum: nanoseconds == 0 ? 0 : 1, nanoseconds: nanoseconds)
        }
        var wasRoused = false
        var left = limit - take(limit, into: &completions, &wasRoused)
        // Since 6.13 one `enter` runs at most 20 deferred completions when asked for fewer.
        while left > 0, ring.wantsEntry {
            enter(minimum: 0, nanoseconds: 0)
            let taken = take(left, into: &completions, &wasRoused)
            // The kernel may set the flag after the work that it stands for was run, and clears
            // it only with the next work: going on until it is clear would be a busy loop (seen).
            guard taken > 0 else { break }
            left -= taken
        }
        return wasRoused
    }

    private func take(
        _ limit: Int,
        into completions: inout CompletionQueue,
        _ wasRoused: inout Bool
    ) -> Int {
        ring.take(limit: limit) { answer in
            if deliver(answer, into: &completions) { wasRoused = true }
        }
    }

    private func enter(minimum: Int, nanoseconds: Int64) {
        do throws(Errno) {
            try ring.enter(minimum: minimum, nanoseconds: nanoseconds)
        } catch {
            // ETIME: the time is up. EBUSY, EAGAIN: answers must be taken first, as we do now.
            if error == .interrupted { Thread.deliverDeferredSignals() }
        }
    }

    /// Whether the answer was the wakeup's.
    private func deliver(_ answer: Ring.Answer, into completions: inout CompletionQueue) -> Bool {
        let token = Token(rawValue: answer.userData)
        switch token.kind {
        case .cancellation:
            return false
        case .wakeup:
            Descriptor.clearEvent(wakeup)
            armWakeup()
            return true
        case .operation:
            completions.append(Completion(token: token, result: answer.result))
            return false
        case .watch:
            let token = token.marked(as: .operation)
            completions.append(Completion(token: token, result: min(answer.result, 0)))
            return false
        case .receive:
            armedReceives &-= 1
            completions.append(received(answer, token.marked(as: .operation)))
            return false
        }
    }

    private func received(_ answer: Ring.Answer, _ token: Token) -> Completion {
        var completion = Completion(token: token, result: answer.result)
        // A failed receive may name a buffer by mistake (a 6.12 stable kernel): it took none.
        guard let id = answer.buffer, answer.result >= 0 else { return completion }
        provided &-= 1
        let buffer = BufferID(rawValue: id)
        // The end of a stream takes a buffer, too, and has no bytes in it.
        if answer.result > 0 { completion.buffer = buffer } else { giveBack(buffer) }
        return completion
    }
}
