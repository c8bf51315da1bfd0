// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem
internal import Synchronization
internal import SystemPackage

/// The life of one connection on its loop: what is being read, what waits to be sent, how it ends.
///
/// The public structs are handles on it, and bring tasks that run elsewhere to the loop. Reading
/// is by request, one receive at a time; writes are gathered and go out at the end of the turn.
///
/// SAFETY (`@unchecked Sendable`): every stored property but constants and atomics belongs to the
/// loop's thread; what other threads call posts to the loop. SAFETY (`@exclusivity(unchecked)`): no
/// access spans a call that reaches the same property again.
final class StreamChannel: OperationOwner, CustomStringConvertible, @unchecked Sendable {
    // What a byte touches on the way that wakes no task stands first and together: a server of a
    // thousand connections finds none of it in the processor's first cache.
    let loop: EventLoop
    let engine: Engine
    let fd: Int32
    @exclusivity(unchecked) var phase = Phase.open
    @exclusivity(unchecked) var interruption = Interruption.none
    @exclusivity(unchecked) var talk = Talk.fresh
    @exclusivity(unchecked) var isFirstByteAwaited = false
    @exclusivity(unchecked) var isMarkedIdle = false
    @exclusivity(unchecked) var isFlushScheduled = false
    /// What was taken still goes out, and then the end.
    @exclusivity(unchecked) var isFinishing = false
    /// `unread` is with a reader on another thread, and holds the connection busy there.
    @exclusivity(unchecked) var isUnreadLent = false
    /// A reading form is under way, from its first byte to its last.
    @exclusivity(unchecked) var isReading = false
    @exclusivity(unchecked) var wasReset = false
    /// Set once by the loop, asked by anyone.
    let drainBegan = Atomic<Bool>(false)
    @exclusivity(unchecked) var receiveToken: Token?
    @exclusivity(unchecked) var sendToken: Token?
    /// Where the reader that waits would send the bytes to, unchanged: see `forward`.
    @exclusivity(unchecked) var forwarding: StreamChannel?
    @exclusivity(unchecked) var forwardedByteCount = 0
    @exclusivity(unchecked) var timing: StreamTiming?
    @exclusivity(unchecked) var inboundEnd: InboundEnd?
    @exclusivity(unchecked) var outboundError: NetworkError?
    /// `filling` takes what is written while `sending` is with the kernel.
    @exclusivity(unchecked) var filling = OutboundBuffer()
    @exclusivity(unchecked) var sending = OutboundBuffer()
    @exclusivity(unchecked) var waiters: [OutboundWaiter] = []
    @exclusivity(unchecked) var lent: (buffer: BufferID, count: Int)?
    /// Goes out after all of these, and before what is written since.
    @exclusivity(unchecked) var outboundFile: OutboundFile?
    /// The close, while it waits for the kernel to let go of our memory.
    @exclusivity(unchecked) var completionWaiter: Parked<Void>?

    // Reading.
    @exclusivity(unchecked) var reader: Parked<Completion>?
    /// Received, and not yet taken by a reading form.
    @exclusivity(unchecked) var unread = InboundBuffer()
    /// The reads so far that bring their cancellation with them, and the last that waited: 0 is the
    /// owner's.
    @exclusivity(unchecked) private var readerCount: UInt64 = 0
    @exclusivity(unchecked) private var readerID: UInt64 = 0

    // Writing.
    @exclusivity(unchecked) var lastWaiter = OutboundWaiter.owner
    /// `unsentByteCount` as other threads see it: of the end of the last turn that wrote or sent.
    let publishedUnsentByteCount = Atomic<Int>(0)

    // The task whose cancellation `serve` passes on, so that its reads need no handler of theirs.
    @exclusivity(unchecked) var owner: TaskIdentity?
    @exclusivity(unchecked) var ownerIsCancelled = false

    // Ending.
    @exclusivity(unchecked) var closeWaiters: [Parked<Void>] = []
    @exclusivity(unchecked) var onClosed: ((StreamChannel) -> Void)?

    // Who it is.
    let id: UInt64
    let localAddress: SocketAddress
    /// Who is connected to our socket: a client, or the proxy before it.
    let socketPeer: SocketAddress
    /// Whom a proxy has named; set before the handler begins.
    @exclusivity(unchecked) var client: SocketAddress?
    /// Of a Unix peer.
    let peerCredentials: PeerCredentials?
    let limits: StreamLimits
    /// Whose code connected; only the debug mode knows.
    @exclusivity(unchecked) var openedAt: CodePlace?

    /// Connections are numbered from 1 over the life of the process.
    private static let lastID = Atomic<UInt64>(0)

    enum Phase { case open, closing, closed }

    /// Whose turn it is: nobody has said anything, the peer has, or we have since.
    enum Talk { case fresh, asked, answered }

    enum InboundEnd {
        case end
        case failed(NetworkError)
        /// We have ended it, not the peer, who may still send.
        case timedOut(NetworkError)
        /// The same, between two messages.
        case drained
    }

    /// Why a receive was cancelled: what its reader is told.
    enum Interruption {
        case none, cancelled, drained, closed, lingered, idleTimedOut, readTimedOut
    }

    /// Takes over a connected descriptor.
    ///
    /// Loop thread only.
    init(
        _ fd: Int32,
        on loop: EventLoop,
        limits: StreamLimits,
        options: SocketOptions,
        isRegistered: Bool = false
    ) throws(Errno) {
        self.loop = loop
        engine = loop.engine
        self.fd = fd
        self.limits = limits
        localAddress = SocketAddress(try Socket.localAddress(of: fd))
        socketPeer = SocketAddress(try Socket.peerAddress(of: fd))
        id = Self.lastID.wrappingAdd(1, ordering: .relaxed).newValue
        let isUnix = socketPeer.isUnix
        peerCredentials = isUnix ? try? PeerCredentials(of: fd) : nil
        do throws(Errno) {
            try options.apply(to: fd, of: socketPeer)
            if !isRegistered { try engine.backend.register(fd, stopsShort: isUnix) }
        } catch {
            // The descriptor is still the caller's.
            phase = .closed
            throw error
        }
        loop.countConnection(1)
        timing = StreamTiming(limits, now: loop.now)
        arm(.idle)
    }

    deinit { if phase != .closed { releaseUnclosed() } }

    /// The connection in logs: `connection 7 from 127.0.0.1:5123`, and ` through` a proxy's address.
    var description: String {
        let sender = peerCredentials.map { " (\($0))" } ?? ""
        let proxy = proxyAddress.map { " through \($0)" } ?? ""
        return "connection \(id) from \(peerAddress)\(proxy)\(sender)"
    }

    // MARK: Receiving

    /// Waits for bytes: a completion whose buffer the caller gives back, or nil at the end.
    ///
    /// It is inlined into the reading forms, which saves the frame of a call and, on its return,
    /// the look whether an executor has to be changed: 300 of 2,700 instructions a request.
    @inline(__always)
    func receive(
        forwardingTo target: StreamChannel? = nil,
        messageSince began: UInt64? = nil
    ) async throws -> Completion? {
        await loop.standBackWhenSpent()
        guard reader == nil, !isUnreadLent else { throw alreadyReading() }
        // Asking who runs costs less than a cancellation handler, and the owner has one already.
        let isOwner = owner == TaskIdentity.current
        if isOwner ? ownerIsCancelled : Task.isCancelled { throw CancellationError() }
        while true {
            if isEnding, try endsHere() { return nil }
            let completion: Completion
            if !isOwner {
                completion = await receiveCancellably(target, began)
            } else if let done = submitReceive(target, began) {
                completion = done
            } else {
                completion = await suspendReader()
            }
            if completion.result > 0 {
                talk = .asked
                return completion
            }
            try took(completion)
        }
    }

    /// Makes the caller the one who reads, until it clears `isReading`.
    ///
    /// Loop thread only.
    func beginReading() throws {
        loop.checkThread()
        guard !isReading, !isUnreadLent else { throw alreadyReading() }
        isReading = true
    }

    /// Notes how a receive without bytes ended; throws what the reader is to know.
    ///
    /// An error is large, and what is inlined into a reading form lies in the frame of an idle task.
    @inline(never)
    private func took(_ completion: Completion) throws {
        if completion.result == -Errno.alreadyInProcess.rawValue { throw alreadyReading() }
        // Aborted: the kernel's word for our own reset, or end, is no news.
        if case .failed(let error) = inboundEnd { throw error }
        guard completion.result < 0 else {
            inboundEnd = .end
            return
        }
        let error = Errno(negated: completion.result)
        guard error == .canceled else {
            countReset(error)
            let failure = failure(errno: error, "read from")
            inboundEnd = .failed(failure)
            throw failure
        }
        let reason = interruption
        interruption = .none
        if reason == .none, engine.isClosed {
            // The run has ended, and the connection with it.
            inboundEnd = .failed(failure(.closed, "read from"))
        }
        switch reason {
        case .cancelled: throw CancellationError()
        case .closed: throw failure(.closed, "read from")
        case .lingered: inboundEnd = .end
        case .idleTimedOut: throw noteTimedOut(.idle)
        case .readTimedOut: throw noteTimedOut(.read)
        // Tried again: what came while the receive was being cancelled is still answered.
        case .drained, .none: break
        }
    }

    /// Whether there is more to look at than an open stream needs.
    var isEnding: Bool { inboundEnd != nil || isDraining || phase != .open }

    @inline(never)
    private func alreadyReading() -> any Error { failure(.alreadyReading, "read from") }

    @inline(never)
    private func endsHere() throws -> Bool {
        switch inboundEnd {
        case .end, .drained: return true
        case .failed(let error), .timedOut(let error): throw error
        case nil: break
        }
        guard phase == .open else { throw failure(.closed, "read from") }
        if isIdle, hasNothingToRead { inboundEnd = .drained }
        return inboundEnd != nil
    }

    /// A receive that is done at once; nil when it is under way, and wants a reader in this job.
    @inline(__always)
    private func submitReceive(_ target: StreamChannel?, _ began: UInt64?) -> Completion? {
        switch engine.submit(.receive(fd), owner: self) {
        case .done(let completion):
            loop.countOperation()
            noteByte()
            return completion
        case .pending(let token):
            receiveToken = token
            forwarding = target
            if let began { beginWait(forMessageSince: began) }
            return nil
        }
    }

    private func receiveCancellably(
        _ target: StreamChannel?,
        _ began: UInt64?
    ) async -> Completion {
        readerCount &+= 1
        let id = readerCount
        return await loop.park { parked in
            if let error = reasonNotToReceive() {
                let completion = Completion(token: .none, result: -error.rawValue)
                parked.resume(returning: completion, on: loop)
            } else if let completion = submitReceive(target, began) {
                parked.resume(returning: completion, on: loop)
            } else {
                reader = parked
                readerID = id
            }
        } onCancel: {
            // Another may be reading by now, who was not cancelled.
            if self.readerID == id { self.interruptReader(.cancelled) }
        }
    }

    /// What may have come up since the caller looked; `.canceled` has it look again.
    private func reasonNotToReceive() -> Errno? {
        guard reader == nil, receiveToken == nil else { return .alreadyInProcess }
        if Task.isCancelled { interruption = .cancelled }
        let isOver = phase != .open || inboundEnd != nil
        let isDrained = isDraining && isIdle && hasNothingToRead
        return Task.isCancelled || isOver || isDrained ? .canceled : nil
    }

    /// Whether the one who reads is the owner, or the close.
    var isOwnerReading: Bool { readerID == 0 }

    @inline(__always)
    func suspendReader() async -> Completion {
        await withUnsafeContinuation {
            readerID = 0
            reader = Parked($0, as: loop.currentRole)
        }
    }

    /// Ends the receive that is under way; its reader goes on when the kernel has let go.
    func interruptReader(_ reason: Interruption) {
        guard let token = receiveToken, interruption == .none else { return }
        interruption = reason
        engine.cancel(token)
    }

    // MARK: Completions

    func complete(_ completion: Completion, kind: Submission.Kind) {
        switch kind {
        case .receive:
            receiveToken = nil
            var completion = completion
            timing?.timeouts.endWait(loop.now, hasBytes: completion.result > 0)
            if let target = forwarding {
                guard let left = forward(completion, beforeReaderTo: target) else { return }
                completion = left
            }
            guard let parked = reader.take() else { preconditionFailure("a receive has a reader") }
            forwarding = nil
            // Bytes were faster than what wanted to end the wait for them.
            if completion.result > 0 { interruption = .none }
            parked.resume(returning: completion, on: loop)
        case .send:
            sendToken = nil
            sent(completion.result)
        case .sendNow:
            sendToken = nil
            sentLent(completion.result)
        case .room:
            sendToken = nil
            roomCame(completion.result)
        case .accept, .connect, .sendParts, .watch, .readFile, .writeFile, .syncFile:
            preconditionFailure("a stream submits none of these")
        }
        if let waiter = completionWaiter.take() { waiter.resume(returning: (), on: loop) }
    }

    func failure(
        _ kind: NetworkError.Kind,
        _ operation: String,
        advice: String? = nil
    ) -> NetworkError {
        NetworkError(kind, operation, address: peerAddress, connection: id, advice: advice)
    }

    func failure(errno: Errno, _ operation: String) -> NetworkError {
        NetworkError(errno: errno, operation, address: peerAddress, connection: id)
    }

    /// Gives the buffer of a receive back.
    func giveBack(_ completion: Completion) {
        if let buffer = completion.buffer { engine.giveBack(buffer) }
    }
}
