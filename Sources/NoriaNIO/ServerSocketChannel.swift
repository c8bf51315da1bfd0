// SPDX-License-Identifier: Apache-2.0
#if NIO
internal import NIOCore
internal import Noria
internal import NoriaEngine
internal import NoriaSystem
internal import Synchronization
internal import SystemPackage

/// A listening socket as a SwiftNIO channel: what it reads are channels.
///
/// SAFETY (`@unchecked Sendable`): all but constants and atomics belongs to the loop's thread.
final class ServerSocketChannel: SocketChannel, OperationOwner, TimerOwner, @unchecked Sendable {
    let noria: NoriaEventLoop
    /// The loops on which the connections live, each in turn.
    private let homes: [NoriaEventLoop]
    private var acceptedCount = 0
    /// Those that another loop takes over at the moment, or that are being readied.
    private var passing = 0
    private let engine: Engine
    private var fd: Int32?
    private let closePromise: EventLoopPromise<Void>
    private(set) var madePipeline: ChannelPipeline?
    private let boundAddress = Guarded<NIOCore::SocketAddress?>(nil)
    private var phase = Phase.fresh
    private var acceptToken: Token?
    private var timer: TimerID?
    private var isUnix = false
    private var wantsRead = false
    private var isAccepting = false
    /// A close is under way through the pipeline.
    private var isClosing = false
    private var isAborted = false
    private var autoRead = true
    private var backlog = 4096
    private var maxMessagesPerRead = 16
    /// Options of the socket's that were set before there is one.
    private var early: [(key: SocketOptionKey, value: [UInt8])] = []
    private let active = Atomic<Bool>(false)

    /// `refusing` and `emptying` as in Noria's own listeners (`Acceptor`): nobody is reset.
    private enum Phase { case fresh, registered, active, refusing, emptying, closed }

    /// Loop thread only.
    init(on loop: NoriaEventLoop, homes: [NoriaEventLoop]) {
        noria = loop
        self.homes = homes
        engine = loop.loop.transportEngine
        closePromise = loop.makePromise(of: Void.self)
        madePipeline = ChannelPipeline(channel: self)
    }

    // MARK: Channel

    var parent: (any Channel)? { nil }
    var closeFuture: EventLoopFuture<Void> { closePromise.futureResult }
    var isActive: Bool { active.load(ordering: .relaxed) }
    var isWritable: Bool { false }
    var options: any NIOSynchronousChannelOptions { SyncOptions(channel: self) }
    var localAddress: NIOCore::SocketAddress? { boundAddress.withLock { $0 } }
    var remoteAddress: NIOCore::SocketAddress? { nil }

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

    func bind0(to address: NIOCore::SocketAddress, promise: EventLoopPromise<Void>?) {
        guard phase == .registered else {
            promise?.fail(ChannelError.inappropriateOperationForState)
            return
        }
        do {
            guard let storage = SocketStorage(address) else {
                throw ChannelError.operationUnsupported
            }
            let fd = try Socket.stream(for: storage)
            self.fd = fd
            isUnix = storage.isUnix
            if !isUnix {
                try Socket.set(.reuseAddress, to: 1, on: fd)
                // What is accepted inherits it.
                try Socket.set(.noDelay, to: 1, on: fd)
            }
            for option in early { try setSocketOption(option.key, to: option.value) }
            early = []
            try Socket.bind(fd, to: storage)
            try Socket.listen(fd, backlog: backlog)
            try engine.backend.register(fd)
            let bound = try Socket.localAddress(of: fd).address
            boundAddress.withLock { $0 = bound }
        } catch {
            let error = (error as? Errno)?.nioError("bind") ?? error
            promise?.fail(error)
            return close0(error: error, mode: .all, promise: nil)
        }
        phase = .active
        active.store(true, ordering: .relaxed)
        promise?.succeed()
        pipeline.syncOperations.fireChannelActive()
        if autoRead { pipeline.syncOperations.read() }
    }

    func connect0(to: NIOCore::SocketAddress, promise: EventLoopPromise<Void>?) {
        promise?.fail(ChannelError.operationUnsupported)
    }

    func write0(_ data: NIOAny, promise: EventLoopPromise<Void>?) {
        promise?.fail(ChannelError.operationUnsupported)
    }

    func flush0() {}

    // MARK: Accepting

    func read0() {
        guard phase == .active else { return }
        wantsRead = true
        accept()
    }

    /// Accepts while somebody wants it and the kernel has an answer at once; not again from within.
    private func accept() {
        guard !isAccepting, acceptToken == nil, timer == nil, let fd else { return }
        isAccepting = true
        defer { isAccepting = false }
        var left = max(1, maxMessagesPerRead)
        while wantsRead, phase == .active, timer == nil {
            guard left > 0 else {
                noria.loop.post { self.accept() }
                return
            }
            left -= 1
            wantsRead = false
            switch engine.submit(.accept(fd), owner: self) {
            case .pending(let token):
                acceptToken = token
                return
            case .done(let completion): accepted(completion.result)
            }
        }
    }

    /// How long accepting rests after an error: as Noria's own listeners do.
    private static let restNanoseconds: UInt64 = 100_000_000

    private func accepted(_ result: Int32) {
        if result >= 0 {
            admit(result)
        } else if phase != .active {
            return
        } else if Errno(negated: result) != .connectionAbort {
            // No descriptor is left, say: the peers wait in the kernel's queue meanwhile.
            timer = noria.loop.addTimer(
                at: MonotonicClock.now &+ Self.restNanoseconds,
                owner: self
            )
            pipeline.syncOperations.fireErrorCaught(IOError(errnoCode: -result, reason: "accept"))
        }
        pipeline.syncOperations.fireChannelReadComplete()
        if autoRead, phase == .active { pipeline.syncOperations.read() }
    }

    private func admit(_ descriptor: Int32) {
        let home = homes[acceptedCount % homes.count]
        acceptedCount &+= 1
        if home === noria {
            return pass(StreamSocketChannel.accepted(descriptor, on: noria, parent: self))
        }
        passing += 1
        home.loop.post {
            let channel = StreamSocketChannel.accepted(descriptor, on: home, parent: self)
            self.noria.loop.post {
                self.passing -= 1
                self.pass(channel)
                self.closeWhenEmpty()
            }
        }
    }

    func timerFired(_ context: UInt) {
        timer = nil
        if phase == .refusing { empty() } else { accept() }
    }

    // MARK: Stopping

    /// Lets no new connection in, hands on those whose handshake is done, and closes then.
    ///
    /// Loop thread only.
    func stopAccepting() {
        guard phase == .active, let fd else { return }
        phase = .refusing
        if let rest = timer.take() { noria.loop.cancelTimer(rest) }
        if let acceptToken { engine.cancel(acceptToken) }
        do throws(Errno) {
            if isUnix {
                try Socket.shutDownReading(fd)
            } else {
                try Socket.refuseNewConnections(fd)
            }
        } catch { return empty() }
        guard !isUnix else { return empty() }
        timer = noria.loop.addTimer(
            at: MonotonicClock.now &+ Self.handshakeNanoseconds,
            owner: self
        )
    }

    /// The time that a handshake under way needs: as for Noria's own listeners.
    private static let handshakeNanoseconds: UInt64 = 5_000_000

    private func empty() {
        phase = .emptying
        while let fd, Descriptor.waits(fd, nanoseconds: 0) {
            let descriptor = Int32(truncatingIfNeeded: Socket.accept(fd))
            guard descriptor >= 0 else { break }
            admit(descriptor)
        }
        pipeline.syncOperations.fireChannelReadComplete()
        closeWhenEmpty()
    }

    /// The same without a look at the queue: who waits there is reset.
    ///
    /// Loop thread only.
    func stopAtOnce() {
        guard phase != .closed else { return }
        phase = .emptying
        isAborted = true
        if let timer = timer.take() { noria.loop.cancelTimer(timer) }
        if let acceptToken { engine.cancel(acceptToken) }
        closeWhenEmpty()
    }

    /// A connection is being readied.
    func beginHandingOn() { passing += 1 }

    /// It has been, and who is told of that is told now: whatever comes after a close would be lost.
    func endHandingOn() {
        noria.loop.post {
            self.passing -= 1
            self.closeWhenEmpty()
        }
    }

    /// Those that were accepted for another loop are on their way here and back, and an accept that
    /// was cancelled may have one all the same.
    private func closeWhenEmpty() {
        guard phase == .emptying, passing == 0, acceptToken == nil else { return }
        guard !isAborted else { return close0(error: ChannelError.eof, mode: .all, promise: nil) }
        guard !isClosing else { return }
        isClosing = true
        // Past the handlers, of which one may hold it up, or refuse.
        let closed = noria.makePromise(of: Void.self)
        pipeline.syncOperations.close(mode: .all, promise: closed)
        closed.futureResult.assumeIsolated().whenFailure { error in
            if self.phase != .closed { self.pipeline.syncOperations.fireErrorCaught(error) }
        }
    }

    /// Hands a connection to the pipeline; nil when its peer was gone before we looked.
    private func pass(_ channel: StreamSocketChannel?) {
        guard let channel else { return }
        guard phase != .closed else { return channel.close(promise: nil) }
        pipeline.syncOperations.fireChannelRead(NIOAny(channel as any Channel))
    }

    func complete(_ completion: Completion, kind: Submission.Kind) {
        acceptToken = nil
        guard phase != .closed else {
            if completion.result >= 0 { Descriptor.close(completion.result) }
            return release()
        }
        accepted(completion.result)
        if phase == .active { accept() } else { closeWhenEmpty() }
    }

    // MARK: Closing

    func close0(error: any Error, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard phase != .closed else {
            promise?.fail(ChannelError.alreadyClosed)
            return
        }
        guard mode == .all else {
            promise?.fail(ChannelError.operationUnsupported)
            return
        }
        let (wasActive, wasRegistered) = (isActive, phase != .fresh)
        phase = .closed
        active.store(false, ordering: .relaxed)
        if let timer = timer.take() { noria.loop.cancelTimer(timer) }
        if let acceptToken {
            engine.cancel(acceptToken)
            // The number goes with the cancelled accept; from now on nobody is let in all the same.
            if let fd { try? Socket.shutDown(fd) }
        } else {
            release()
        }
        promise?.succeed()
        if wasActive { pipeline.syncOperations.fireChannelInactive() }
        if wasRegistered { pipeline.syncOperations.fireChannelUnregistered() }
        noria.loop.post {
            self.removeHandlers(pipeline: self.pipeline)
            self.boundAddress.withLock { $0 = nil }
            self.closePromise.succeed()
        }
    }

    private func release() {
        guard let fd else { return }
        self.fd = nil
        engine.backend.deregister(fd)
        Descriptor.close(fd)
    }

    // MARK: Options

    func setSocketOption(_ key: SocketOptionKey, to value: [UInt8]) throws {
        guard phase != .closed else { throw ChannelError.ioOnClosedChannel }
        if let fd { try key.set(value, on: fd) } else { early.append((key, value)) }
    }

    func getSocketOption(_ key: SocketOptionKey, into value: UnsafeMutableRawBufferPointer) throws {
        guard phase != .closed else { throw ChannelError.ioOnClosedChannel }
        guard let fd else { throw ChannelError.inappropriateOperationForState }
        try key.get(value, of: fd)
    }

    struct SyncOptions: NIOSynchronousChannelOptions {
        let channel: ServerSocketChannel

        func setOption<Option: ChannelOption>(_ option: Option, value: Option.Value) throws {
            guard channel.phase != .closed else { throw ChannelError.ioOnClosedChannel }
            switch (option, value) {
            case (is ChannelOptions.Types.AutoReadOption, let isOn as Bool):
                channel.autoRead = isOn
                if isOn, channel.phase == .active { channel.pipeline.syncOperations.read() }
            case (is ChannelOptions.Types.BacklogOption, let backlog as Int32):
                channel.backlog = Int(backlog)
            case (is ChannelOptions.Types.MaxMessagesPerReadOption, let count as UInt):
                channel.maxMessagesPerRead = Int(clamping: count)
            case (let option as ChannelOptions.Types.SocketOption, let value as SocketOptionValue):
                try channel.setSocketOption(SocketOptionKey(option), to: value.optionBytes)
            default: throw ChannelError.operationUnsupported
            }
        }

        func getOption<Option: ChannelOption>(_ option: Option) throws -> Option.Value {
            guard channel.phase != .closed else { throw ChannelError.ioOnClosedChannel }
            let value: Any
            switch option {
            case is ChannelOptions.Types.AutoReadOption: value = channel.autoRead
            case is ChannelOptions.Types.BacklogOption: value = Int32(clamping: channel.backlog)
            case is ChannelOptions.Types.MaxMessagesPerReadOption:
                value = UInt(channel.maxMessagesPerRead)
            case let option as ChannelOptions.Types.SocketOption:
                value = try channel.optionNumber(SocketOptionKey(option))
            default: throw ChannelError.operationUnsupported
            }
            guard let value = value as? Option.Value else {
                throw ChannelError.operationUnsupported
            }
            return value
        }
    }
}
#endif
