// SPDX-License-Identifier: Apache-2.0
#if NIO
internal import NIOCore
internal import Noria
internal import NoriaEngine
internal import NoriaSystem
internal import Synchronization
internal import SystemPackage

/// A connected stream socket as a SwiftNIO channel.
///
/// Reading is by request, one receive at a time, into a buffer of the loop's that is copied from;
/// what is flushed is sent at once, and what the kernel does not take waits for it.
///
/// SAFETY (`@unchecked Sendable`): all but constants and atomics belongs to the loop's thread.
/// SAFETY (`@exclusivity(unchecked)`): no access spans a call that reaches the same property again.
final class StreamSocketChannel: SocketChannel, OperationOwner, TimerOwner, @unchecked Sendable {
    let noria: NoriaEventLoop
    let engine: Engine
    let fd: Int32
    let parent: (any Channel)?
    /// When the descriptor is gone, which a peer may keep waiting after the close.
    let gonePromise: EventLoopPromise<Void>
    private let addresses = Guarded<Addresses>((nil, nil))
    let closePromise: EventLoopPromise<Void>
    /// Set once, before anybody else has the channel.
    @exclusivity(unchecked) private(set) var madePipeline: ChannelPipeline?

    @exclusivity(unchecked) var phase = Phase.fresh
    /// After the close, while something is to be sent or the peer may not know of it.
    @exclusivity(unchecked) var linger: Linger?
    @exclusivity(unchecked) var isGone = false
    /// Of a client, from `connect0` to its end.
    @exclusivity(unchecked) var attempt: ConnectAttempt?
    @exclusivity(unchecked) var receiveToken: Token?
    @exclusivity(unchecked) var sendToken: Token?
    @exclusivity(unchecked) private var wantsRead = false
    @exclusivity(unchecked) private var isReceiving = false
    @exclusivity(unchecked) var isInputClosed = false
    @exclusivity(unchecked) var outputEnd: OutputEnd = .open
    @exclusivity(unchecked) var pending = PendingWrites()
    @exclusivity(unchecked) private var isAboveMark = false
    @exclusivity(unchecked) var settings = Settings()

    let active = Atomic<Bool>(false)
    private let writable = Atomic<Bool>(true)

    enum Phase { case fresh, registered, active, closed }
    typealias Addresses = (local: NIOCore::SocketAddress?, remote: NIOCore::SocketAddress?)
    struct Linger {
        var timer: TimerID
        /// Something was sent since the timer was set.
        var hasProgressed = false
        var hasEndedOutput = false
        /// The peer has ended, or its end is not waited for.
        var hasInputEnded: Bool
    }
    enum OutputEnd {
        case open
        case closing(EventLoopPromise<Void>?)
        case closed
    }

    struct Settings {
        var autoRead = true
        var allowsHalfClosure = false
        var waterMark = ChannelOptions.Types.WriteBufferWaterMark(low: 32 * 1024, high: 64 * 1024)
        var connectTimeout: TimeAmount? = .seconds(10)
        /// SwiftNIO's own number.
        var maxMessagesPerRead = 4
        var receiveAllocator: (any RecvByteBufferAllocator)?
        /// Taken and told, and no more: what the kernel has no room for waits for it at once.
        var writeSpin: UInt = 16
    }

    private init(_ fd: Int32, on loop: NoriaEventLoop, parent: (any Channel)?) {
        self.fd = fd
        noria = loop
        engine = loop.loop.transportEngine
        self.parent = parent
        closePromise = loop.makePromise(of: Void.self)
        gonePromise = loop.makePromise(of: Void.self)
        madePipeline = ChannelPipeline(channel: self)
        loop.loop.countConnection(1, isAccepted: parent != nil)
        loop.residents.channels[ObjectIdentifier(self)] = self
    }

    var localAddress: NIOCore::SocketAddress? { addresses.withLock { $0.local } }
    var remoteAddress: NIOCore::SocketAddress? { addresses.withLock { $0.remote } }

    /// Asked once, while the descriptor is ours: others ask from any thread, and late.
    func noteAddresses() {
        let local = (try? Socket.localAddress(of: fd))?.address
        let remote = (try? Socket.peerAddress(of: fd))?.address
        addresses.withLock { $0 = (local, remote) }
    }

    func forgetAddresses() { addresses.withLock { $0 = (nil, nil) } }

    /// Takes over what was accepted; nil, and the descriptor closed, when it can't be watched.
    ///
    /// Loop thread only.
    static func accepted(
        _ fd: Int32,
        on loop: NoriaEventLoop,
        parent: any Channel
    ) -> StreamSocketChannel? {
        do throws(Errno) { try loop.loop.transportEngine.backend.register(fd) } catch {
            Descriptor.close(fd)
            return nil
        }
        let channel = StreamSocketChannel(fd, on: loop, parent: parent)
        channel.noteAddresses()
        return channel
    }

    /// Makes a socket that is to connect.
    ///
    /// Loop thread only.
    static func client(
        to address: SocketStorage,
        on loop: NoriaEventLoop
    ) throws(Errno) -> StreamSocketChannel {
        let fd = try Socket.stream(for: address)
        do throws(Errno) {
            // An unconnected Unix socket reports a hang-up: it is registered afterwards.
            if !address.isUnix {
                try Socket.set(.noDelay, to: 1, on: fd)
                try loop.loop.transportEngine.backend.register(fd)
            }
        } catch {
            Descriptor.close(fd)
            throw error
        }
        return StreamSocketChannel(fd, on: loop, parent: nil)
    }

    // MARK: Channel

    var closeFuture: EventLoopFuture<Void> { closePromise.futureResult }
    var isActive: Bool { active.load(ordering: .relaxed) }
    var isWritable: Bool { writable.load(ordering: .relaxed) }
    var options: any NIOSynchronousChannelOptions { SyncOptions(channel: self) }

    // MARK: Life

    func register0(promise: EventLoopPromise<Void>?) {
        guard phase == .fresh else {
            promise?.fail(ChannelError.inappropriateOperationForState)
            return
        }
        phase = .registered
        promise?.succeed()
        pipeline.syncOperations.fireChannelRegistered()
    }

    func registerAlreadyConfigured0(promise: EventLoopPromise<Void>?) {
        register0(promise: promise)
        becomeActive()
    }

    func becomeActive() {
        guard phase == .registered else { return }
        phase = .active
        active.store(true, ordering: .relaxed)
        pipeline.syncOperations.fireChannelActive()
        // What was flushed before.
        send()
        readWhenAutomatic()
    }

    func bind0(to: NIOCore::SocketAddress, promise: EventLoopPromise<Void>?) {
        promise?.fail(ChannelError.operationUnsupported)
    }

    // MARK: Reading

    func read0() {
        guard phase == .active, !isInputClosed else { return }
        wantsRead = true
        receive()
    }

    func readWhenAutomatic() {
        if settings.autoRead, phase == .active, !isInputClosed { pipeline.syncOperations.read() }
    }

    /// Receives while somebody wants it and the kernel has an answer at once; not again from within.
    private func receive() {
        guard !isReceiving, receiveToken == nil else { return }
        isReceiving = true
        defer { isReceiving = false }
        var left = max(1, settings.maxMessagesPerRead)
        while wantsRead, phase == .active, !isInputClosed {
            guard left > 0 else {
                noria.loop.post { self.receive() }
                return
            }
            left -= 1
            wantsRead = false
            switch engine.submit(.receive(fd), owner: self) {
            case .pending(let token):
                receiveToken = token
                return
            case .done(let completion): received(completion)
            }
        }
    }

    private func received(_ completion: Completion) {
        guard completion.result > 0, let id = completion.buffer else {
            return ended(completion.result)
        }
        let bytes = engine.bytes(of: completion)
        guard settings.receiveAllocator == nil else { return receivedInPieces(bytes, id) }
        var buffer = allocator.buffer(capacity: bytes.count)
        buffer.writeBytes(bytes)
        engine.giveBack(id)
        guard phase == .active, !isInputClosed else { return }
        let operations = pipeline.syncOperations
        operations.fireChannelRead(NIOAny(buffer))
        operations.fireChannelReadComplete()
        readWhenAutomatic()
    }

    private func ended(_ result: Int32) {
        // Our own shutdown of the direction ends a receive, too.
        guard phase == .active, !isInputClosed || result < 0 else { return }
        guard result == 0 else {
            let error = IOError(errnoCode: -result, reason: "receive")
            if error.isReset { noria.loop.countReset() }
            pipeline.syncOperations.fireErrorCaught(error)
            return close0(error: error, mode: .all, promise: nil)
        }
        guard settings.allowsHalfClosure else {
            return close0(error: ChannelError.eof, mode: .all, promise: nil)
        }
        isInputClosed = true
        pipeline.syncOperations.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        pipeline.syncOperations.fireChannelReadComplete()
        if case .closed = outputEnd { close0(error: ChannelError.eof, mode: .all, promise: nil) }
    }

    // MARK: Writing

    func write0(_ data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard phase != .closed else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        guard case .open = outputEnd else {
            promise?.fail(ChannelError.outputClosed)
            return
        }
        // A file region, say: what is written of a file goes through the memory.
        guard let buffer = tryUnwrapData(data, as: ByteBuffer.self) else {
            promise?.fail(ChannelError.operationUnsupported)
            return
        }
        pending.append(buffer, promise)
        noteMarks()
    }

    /// Compares what waits with the marks, and says so when it has passed one.
    func noteMarks() {
        let mark = settings.waterMark
        let isAbove = pending.byteCount > (isAboveMark ? mark.low - 1 : mark.high)
        guard isAbove != isAboveMark else { return }
        isAboveMark = isAbove
        writable.store(!isAbove, ordering: .relaxed)
        if phase == .active { pipeline.syncOperations.fireChannelWritabilityChanged() }
    }

    func flush0() {
        pending.markFlushed()
        if phase == .active { send() }
    }

    private func send() {
        while sendToken == nil, phase == .active {
            guard let submission = pending.next(on: fd) else { break }
            guard submission.byteCount > 0 else {
                sent(0)
                continue
            }
            switch engine.submit(submission, owner: self) {
            case .pending(let token): sendToken = token
            case .done(let completion): sent(completion.result)
            }
        }
        endOutputWhenSent()
    }

    private func sent(_ result: Int32) {
        guard phase == .active else { return }
        guard result >= 0 else {
            let error = IOError(errnoCode: -result, reason: "send")
            if error.isReset { noria.loop.countReset() }
            return close0(error: error, mode: .all, promise: nil)
        }
        let done = pending.sent(Int(result))
        for promise in done { promise.succeed() }
        if isAboveMark, phase == .active { noteMarks() }
    }

    // MARK: Completions

    /// Whether the kernel has something of ours.
    var isWithKernel: Bool {
        receiveToken != nil || sendToken != nil || attempt?.token != nil
    }

    func complete(_ completion: Completion, kind: Submission.Kind) {
        switch kind {
        case .connect: attempt?.token = nil
        case .receive: receiveToken = nil
        default: sendToken = nil
        }
        guard phase != .closed else {
            if let id = completion.buffer { engine.giveBack(id) }
            return completeLate(completion, isReceive: kind == .receive)
        }
        switch kind {
        case .connect: connected(completion.result)
        case .receive:
            received(completion)
            receive()
        default:
            sent(completion.result)
            send()
        }
    }
}
#endif
