// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
package import SystemPackage

/// Completions out of readiness: the operation is tried when the descriptor may be ready, and
/// waits in the descriptor's slot when it was not.
///
/// Each descriptor has at most one operation a direction, which is what a stream needs.
///
/// SAFETY (`@exclusivity(unchecked)`): the loop's thread alone comes here, and no access spans a
/// call that reaches the same property again.
package final class ReadinessBackend: Backend {
    private struct Slot {
        var generation: UInt32 = 0
        var isRegistered = false
        /// A short read says nothing about what lies behind it: see `Backend.register`.
        var stopsShort = false
        var ready: Readiness = []
        var reader: Waiting?
        var writer: Waiting?
    }

    private struct Waiting {
        let submission: Submission
        let token: Token
    }

    private let selector: any Selector
    private let isLevelTriggered: Bool
    package let buffers: BufferPool
    /// One for each descriptor number up to the highest that was registered.
    @exclusivity(unchecked) private var slots: UnsafeMutablePointer<Slot>
    @exclusivity(unchecked) private var slotCount = 0
    /// Answers that arose outside a wait: cancelled operations.
    @exclusivity(unchecked) private var answered = CompletionQueue(capacity: 16)
    private var wakeup: Int32 = -1

    /// The events of the last look at the selector that are still to be reacted to.
    @exclusivity(unchecked) private var nextEvent = 0
    @exclusivity(unchecked) private var eventCount = 0
    /// How many events one call reacts to.
    ///
    /// Each may fill a buffer before anyone empties one: few at a time keep to few, warm buffers.
    /// The rest waits for the next call, which then asks the kernel nothing. With 256 at a time an
    /// echo over 1,000 connections cost 1.20 of C, with 32 it costs 1.09.
    private static let eventsPerWait = 32
    /// After how many received bytes a call reacts to no further event, for the same reason.
    ///
    /// Without it 50 echoes of 100 KiB filled 3 MB of buffers before the first answer went out, and
    /// cost 1.31 of C on a machine whose processor has a second cache of 2 MiB; with it 1.03.
    private static let bytesPerWait = 65_536
    @exclusivity(unchecked) private var receivedByteCount = 0

    init(selector: any Selector, buffers: BufferPool) {
        self.selector = selector
        self.buffers = buffers
        isLevelTriggered = selector.isLevelTriggered
        slots = .allocate(capacity: 0)
    }

    deinit { slots.deallocate() }

    package var kind: BackendKind { selector.kind }
    package var features: [String] { [] }
    /// A receive that was tried and waits has nothing to receive: the next in line may try.
    package var takesBuffersLater: Bool { false }

    // MARK: Descriptors

    package func register(_ fd: Int32, stopsShort: Bool) throws(Errno) {
        try register(fd, for: [.readable, .writable], stopsShort: stopsShort)
    }

    private func register(
        _ fd: Int32,
        for directions: Readiness,
        stopsShort: Bool = false
    ) throws(Errno) {
        if Int(fd) >= slotCount { grow(toHold: Int(fd)) }
        let slot = slots + Int(fd)
        // Still taken: it was closed underneath us, and its number given out again.
        answer(&slot.pointee.reader, with: .badFileDescriptor)
        answer(&slot.pointee.writer, with: .badFileDescriptor)
        slot.pointee.generation &+= 1
        // A writer may try at once; a reader waits for the edge that comes with the adding.
        slot.pointee.ready = .writable
        try selector.add(fd, for: directions, cookie: Self.cookie(fd, slot.pointee.generation))
        slot.pointee.isRegistered = true
        slot.pointee.stopsShort = stopsShort
    }

    package func deregister(_ fd: Int32) {
        guard let slot = registered(fd) else { return }
        selector.remove(fd)
        // The generation stays: an event that is on its way for it finds no tenant.
        slot.pointee.isRegistered = false
    }

    package func watchWakeup(_ fd: Int32) throws(Errno) {
        try register(fd, for: .readable)
        wakeup = fd
    }

    private func registered(_ fd: Int32) -> UnsafeMutablePointer<Slot>? {
        guard fd >= 0, Int(fd) < slotCount, slots[Int(fd)].isRegistered else { return nil }
        return slots + Int(fd)
    }

    private func grow(toHold index: Int) {
        let count = max(64, slotCount * 2, index + 1)
        let larger = UnsafeMutablePointer<Slot>.allocate(capacity: count)
        larger.moveInitialize(from: slots, count: slotCount)
        (larger + slotCount).initialize(repeating: Slot(), count: count - slotCount)
        slots.deallocate()
        (slots, slotCount) = (larger, count)
    }

    private static func cookie(_ fd: Int32, _ generation: UInt32) -> UInt64 {
        UInt64(UInt32(bitPattern: fd)) | UInt64(generation) << 32
    }

    // MARK: Operations

    package func submit(_ submission: Submission, token: Token) -> Completion? {
        guard let slot = registered(submission.descriptor) else {
            // A file is never ready, and never not: the pool waits for those.
            let error: Errno = submission.kind.isAboutFile ? .notSupported : .badFileDescriptor
            return Completion(token: token, result: -error.rawValue)
        }
        if slot.pointee.ready.contains(submission.kind.direction) || submission.kind == .watch {
            let completion = perform(submission, slot, token)
            if completion != nil { return completion }
        }
        switch submission.kind {
        case .sendNow:
            return Completion(
                token: token,
                result: -Errno.resourceTemporarilyUnavailable.rawValue
            )
        case .accept, .receive, .watch:
            slot.pointee.reader = Waiting(submission: submission, token: token)
        case .send, .sendParts, .connect, .room, .readFile, .writeFile, .syncFile:
            slot.pointee.writer = Waiting(submission: submission, token: token)
        }
        return nil
    }

    package func cancel(_ token: Token, kind: Submission.Kind, descriptor: Int32) {
        let slot = slots + Int(descriptor)
        if slot.pointee.reader?.token == token {
            answer(&slot.pointee.reader, with: .canceled)
        } else if slot.pointee.writer?.token == token {
            answer(&slot.pointee.writer, with: .canceled)
        }
    }

    private func answer(_ waiting: inout Waiting?, with error: Errno) {
        guard let token = waiting.take()?.token else { return }
        answered.append(Completion(token: token, result: -error.rawValue))
    }

    package func giveBack(_ buffer: BufferID) { buffers.giveBack(buffer) }

    /// Tries an operation: its completion, or nil when it would have to wait.
    private func perform(
        _ submission: Submission,
        _ slot: UnsafeMutablePointer<Slot>,
        _ token: Token
    ) -> Completion? {
        let fd = submission.descriptor
        switch submission.kind {
        case .receive:
            return receive(fd, slot, token)
        case .send, .sendParts, .sendNow:
            guard let bytes = submission.bytes else { preconditionFailure("a send has bytes") }
            let result =
                submission.kind == .sendParts
                ? Socket.send(fd, message: bytes)
                : Socket.send(fd, bytes, count: submission.byteCount)
            if result >= 0, result < submission.byteCount { exhaust(.writable, slot, fd) }
            return finished(submission, result, slot, token)
        case .accept:
            return finished(submission, Socket.accept(fd), slot, token)
        case .connect:
            return connect(submission, slot, token)
        case .watch, .room:
            return watch(submission, slot, token)
        case .readFile, .writeFile, .syncFile:
            return Completion(token: token, result: -Errno.notSupported.rawValue)
        }
    }

    /// Asks for the level: whoever reads the descriptor, or writes to it, may have left bytes with no
    /// edge to come, or taken the room that an edge told of.
    private func watch(
        _ submission: Submission,
        _ slot: UnsafeMutablePointer<Slot>,
        _ token: Token
    ) -> Completion? {
        let (fd, direction) = (submission.descriptor, submission.kind.direction)
        let isReady =
            submission.kind == .watch ? Descriptor.isReadable(fd) : Descriptor.isWritable(fd)
        guard isReady else {
            exhaust(direction, slot, fd)
            return nil
        }
        slot.pointee.ready.insert(direction)
        return Completion(token: token, result: 0)
    }

    private func receive(
        _ fd: Int32,
        _ slot: UnsafeMutablePointer<Slot>,
        _ token: Token
    ) -> Completion? {
        guard let buffer = buffers.take() else {
            return Completion(token: token, result: -Errno.noBufferSpace.rawValue)
        }
        let count = Socket.receive(
            fd,
            into: buffers.start(of: buffer),
            count: buffers.byteCount
        )
        guard count > 0 else {
            buffers.giveBack(buffer)
            return finished(.receive(fd), count, slot, token)
        }
        receivedByteCount &+= count
        // epoll(7): a short read has emptied the queue, unless an end lies behind the data.
        if count < buffers.byteCount, !slot.pointee.ready.contains(.hungUp),
            !slot.pointee.stopsShort
        {
            exhaust(.readable, slot, fd)
        }
        return Completion(token: token, result: Int32(truncatingIfNeeded: count), buffer: buffer)
    }

    private func connect(
        _ submission: Submission,
        _ slot: UnsafeMutablePointer<Slot>,
        _ token: Token
    ) -> Completion? {
        guard let address = submission.bytes?.assumingMemoryBound(to: SocketStorage.self) else {
            preconditionFailure("a connect has an address")
        }
        // Asked again, connect(2) tells how it stands: EALREADY, EISCONN, or the error.
        let result = Socket.connect(submission.descriptor, to: address.pointee)
        switch result {
        case -Int(Errno.inProgress.rawValue), -Int(Errno.alreadyInProcess.rawValue):
            exhaust(.writable, slot, submission.descriptor)
            return nil
        case -Int(Errno.isConnected.rawValue):
            return Completion(token: token, result: 0)
        default:
            return Completion(token: token, result: Int32(truncatingIfNeeded: result))
        }
    }

    private func finished(
        _ submission: Submission,
        _ result: Int,
        _ slot: UnsafeMutablePointer<Slot>,
        _ token: Token
    ) -> Completion? {
        switch result {
        case -Int(Errno.resourceTemporarilyUnavailable.rawValue):
            exhaust(submission.kind.direction, slot, submission.descriptor)
            return nil
        case -Int(Errno.interrupted.rawValue):
            return perform(submission, slot, token)
        default:
            return Completion(token: token, result: Int32(truncatingIfNeeded: result))
        }
    }

    private func exhaust(
        _ direction: Readiness,
        _ slot: UnsafeMutablePointer<Slot>,
        _ fd: Int32
    ) {
        slot.pointee.ready.remove(direction)
        if isLevelTriggered { selector.rearm(fd, direction) }
    }

    // MARK: Waiting

    package func wait(
        nanoseconds: Int64,
        limit: Int,
        into completions: inout CompletionQueue
    ) -> Bool {
        if nextEvent == eventCount { lookAtSelector(answered.isEmpty ? nanoseconds : 0) }
        var wasRoused = false
        let end = min(eventCount, nextEvent + Self.eventsPerWait)
        receivedByteCount = 0
        while nextEvent < end, receivedByteCount < Self.bytesPerWait {
            let event = selector.events[nextEvent]
            nextEvent += 1
            let readiness = Readiness(bits: event.bits)
            if react(to: readiness, cookie: event.cookie, into: &completions) { wasRoused = true }
        }
        while let completion = answered.popFirst() { completions.append(completion) }
        return wasRoused
    }

    private func lookAtSelector(_ nanoseconds: Int64) {
        let result = selector.wait(nanoseconds: nanoseconds)
        if result == -Int(Errno.interrupted.rawValue) { Thread.deliverDeferredSignals() }
        (nextEvent, eventCount) = (0, max(0, result))
    }

    /// Tries what waited for this edge.
    ///
    /// Whether the edge was the wakeup's.
    private func react(
        to readiness: Readiness,
        cookie: UInt64,
        into completions: inout CompletionQueue
    ) -> Bool {
        let fd = Int32(truncatingIfNeeded: cookie)
        guard let slot = registered(fd), slot.pointee.generation == UInt32(cookie >> 32) else {
            return false
        }
        if fd == wakeup {
            Descriptor.clearEvent(fd)
            if isLevelTriggered { selector.rearm(fd, .readable) }
            return true
        }
        slot.pointee.ready.formUnion(readiness)
        if readiness.isReadable, let waiting = slot.pointee.reader,
            let completion = perform(waiting.submission, slot, waiting.token)
        {
            slot.pointee.reader = nil
            completions.append(completion)
        }
        if readiness.isWritable, let waiting = slot.pointee.writer,
            let completion = perform(waiting.submission, slot, waiting.token)
        {
            slot.pointee.writer = nil
            completions.append(completion)
        }
        return false
    }
}

extension Submission.Kind {
    fileprivate var direction: Readiness { reads ? .readable : .writable }
}
