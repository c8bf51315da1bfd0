// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaEngine
internal import NoriaSystem
internal import SystemPackage

/// A listening socket on its loop, and the connections that came from it.
///
/// Stopping goes through three states. A listener that is closed resets the connections that it
/// has not accepted yet, and drained "until EAGAIN" under load never ends. So: `refusing` drops
/// new SYNs by a socket filter while handshakes under way complete, for 5 ms; `emptying` accepts
/// what is queued, in bounded number; then it is closed, and nobody was reset.
///
/// SAFETY (`@unchecked Sendable`): all but the constants belongs to the loop's thread.
final class Acceptor: OperationOwner, TimerOwner, @unchecked Sendable {
    let loop: EventLoop
    let localAddress: SocketAddress
    private let runtime: Runtime
    private let options: SocketOptions
    private let limits: StreamLimits
    private let admission: Admission
    private let fd: Int32

    /// How its socket shares the port: the first of several binds alone, so that a second instance
    /// of the program is refused, and lets its siblings in after.
    enum PortRole { case alone, first, sibling }

    private enum State { case accepting, refusing, emptying, closed }

    private var state = State.accepting
    private var waiting: Parked<Int32>?
    private var acceptToken: Token?
    /// Who serves, while nobody is to be accepted.
    private var resting: Parked<Void>?
    private var restTimer: TimerID?
    private var channels: [UInt64: StreamChannel] = [:]
    private var isServing = false
    private var drainWaiters: [Parked<Void>] = []
    private var isDraining = false

    /// The time that a handshake on this machine or its network segment needs.
    ///
    /// DESIGN §6.
    private static let handshakeNanoseconds: UInt64 = 5_000_000
    /// How long accepting rests when no descriptor is left.
    private static let backOffNanoseconds: UInt64 = 100_000_000

    init(
        _ address: SocketAddress,
        on loop: EventLoop,
        runtime: Runtime,
        options: SocketOptions,
        limits: StreamLimits,
        admission: Admission,
        role: PortRole
    ) throws(NetworkError) {
        try limits.check("listen on", address)
        self.loop = loop
        self.runtime = runtime
        self.options = options
        self.limits = limits
        self.admission = admission
        do throws(Errno) {
            fd = try Self.listen(on: address, options, role)
            localAddress = SocketAddress(try Socket.localAddress(of: fd))
            try loop.engine.backend.register(fd)
        } catch {
            throw NetworkError(
                errno: error,
                "listen on",
                address: address,
                advice: error == .permissionDenied
                    ? "ports below 1024 need CAP_NET_BIND_SERVICE" : nil
            )
        }
    }

    private static func listen(
        on address: SocketAddress,
        _ options: SocketOptions,
        _ role: PortRole
    ) throws(Errno) -> Int32 {
        let fd = try Socket.stream(isIPv6: address.storage.isIPv6)
        do throws(Errno) {
            if options.reusesAddress { try Socket.set(.reuseAddress, to: 1, on: fd) }
            if address.storage.isIPv6 {
                try Socket.set(.ipv6Only, to: options.isIPv6Only ? 1 : 0, on: fd)
            }
            try options.applyBuffers(to: fd)
            if role == .sibling { try Socket.set(.reusePort, to: 1, on: fd) }
            try Socket.bind(fd, to: address.storage)
            if role == .first { try Socket.set(.reusePort, to: 1, on: fd) }
            try Socket.listen(fd, backlog: options.backlog)
            return fd
        } catch {
            Descriptor.close(fd)
            throw error
        }
    }

    // MARK: Accepting

    /// The next connection, or nil when there will be none.
    func accept() async throws -> StreamChannel? {
        isServing = true
        while true {
            if Task.isCancelled {
                close()
                throw CancellationError()
            }
            await loop.standBackWhenSpent()
            if state == .accepting, admission.isFull {
                await rest(untilRoom: true)
                continue
            }
            let result = await nextDescriptor()
            guard result < 0 else {
                await enter()
                if let channel = adopt(result) { return channel }
                continue
            }
            let error = Errno(negated: result)
            switch error {
            case .canceled where state == .closed: return nil
            case .canceled, .connectionAbort, .interrupted: continue
            case .resourceTemporarilyUnavailable where state == .emptying:
                close()
                return nil
            case .tooManyOpenFiles, .tooManyOpenFilesInSystem, .noBufferSpace, .noMemory:
                await backOff(error)
            default: throw NetworkError(errno: error, "accept on", address: localAddress)
            }
        }
    }

    private func nextDescriptor() async -> Int32 {
        await loop.park { parked in
            if state == .closed || Task.isCancelled {
                return parked.resume(returning: -Errno.canceled.rawValue, on: loop)
            }
            // The queue is emptied by asking, not by waiting for what will not come.
            if state == .emptying {
                let result = Int32(truncatingIfNeeded: Socket.accept(fd))
                return parked.resume(returning: result, on: loop)
            }
            switch loop.engine.submit(.accept(fd), owner: self) {
            case .done(let completion):
                loop.countOperation()
                parked.resume(returning: completion.result, on: loop)
            case .pending(let token):
                acceptToken = token
                waiting = parked
            }
        } onCancel: {
            self.interrupt()
        }
    }

    private func interrupt() {
        if let acceptToken { loop.engine.cancel(acceptToken) }
        endRest()
    }

    func complete(_ completion: Completion, kind: Submission.Kind) {
        acceptToken = nil
        guard let parked = waiting.take() else { preconditionFailure("an accept has a waiter") }
        parked.resume(returning: completion.result, on: loop)
    }

    private func adopt(_ descriptor: Int32) -> StreamChannel? {
        do throws(Errno) {
            let channel = try StreamChannel(descriptor, on: loop, limits: limits, options: options)
            channels[channel.id] = channel
            channel.onClosed = { [self] in
                channels[$0.id] = nil
                admission.leave()
            }
            if isDraining { channel.drain() }
            return channel
        } catch {
            // The peer was gone before we looked: ENOTCONN. Nobody is left to be told.
            Descriptor.close(descriptor)
            admission.leave()
            return nil
        }
    }

    /// Takes a place for a connection that has been accepted.
    ///
    /// Another loop may have been faster: then it waits, unless the listener stops, which resets nobody and serves whoever is there.
    private func enter() async {
        while !admission.enter(force: state != .accepting || Task.isCancelled) {
            await rest(untilRoom: true)
        }
    }

    /// Rests, with one report, and keeps the queue: the peers wait in the kernel.
    private func backOff(_ error: Errno) async {
        if let heldBack = admission.reportExhaustion(MonotonicClock.now) {
            let error = NetworkError(errno: error, "accept on", address: localAddress)
            let count = heldBack > 0 ? " (and \(heldBack) times since the last report)" : ""
            runtime.configuration.logger.error(
                "\(error)\(count); waiting connections stay queued, trying again when one is closed, and every 100 ms"
            )
        }
        await rest(untilRoom: false)
    }

    /// Waits until a connection has been closed or the listener's state changes; when it was not
    /// for room, some time at most.
    private func rest(untilRoom: Bool) async {
        let _: Void = await loop.park { parked in
            // Looked at again here: a hop may lie before the park.
            let mayRest = untilRoom ? state == .accepting : state != .closed
            guard mayRest, !Task.isCancelled, admission.rest(self, untilRoom: untilRoom) else {
                return parked.resume(returning: (), on: loop)
            }
            resting = parked
            guard !untilRoom else { return }
            restTimer = loop.timers.add(
                deadline: MonotonicClock.now &+ Self.backOffNanoseconds,
                owner: self,
                context: TimerKind.backOff.rawValue
            )
        } onCancel: {
            self.interrupt()
        }
    }

    /// Lets who rests look again.
    ///
    /// Loop thread only.
    func endRest() {
        if let timer = restTimer.take() { loop.timers.cancel(timer) }
        resting.take()?.resume(returning: (), on: loop)
    }

    // MARK: Serving

    func serve(
        _ channel: StreamChannel,
        _ handler: @Sendable (TCPConnection) async throws -> Void
    ) async {
        let connection = TCPConnection(channel: channel)
        do {
            try await channel.run { try await handler(connection) }
        } catch {
            runtime.report(error, on: connection)
        }
    }

    func finishServing() {
        isServing = false
        close()
        wakeDrained()
    }

    // MARK: Stopping

    func stopAccepting() {
        guard state == .accepting else { return }
        state = .refusing
        // Without the filter, as for a socket that is no TCP one, stopping is still in order.
        try? Socket.refuseNewConnections(fd)
        _ = loop.timers.add(
            deadline: MonotonicClock.now &+ Self.handshakeNanoseconds,
            owner: self,
            context: TimerKind.handshake.rawValue
        )
    }

    func timerFired(_ context: UInt) {
        switch TimerKind(rawValue: context) {
        case .backOff:
            restTimer = nil
            endRest()
        case .handshake:
            guard state == .refusing else { return }
            state = .emptying
            // Whoever waits in an accept looks for himself now.
            interrupt()
            if !isServing { close() }
        case nil:
            return
        }
    }

    private enum TimerKind: UInt { case backOff, handshake }

    func drain() async {
        isDraining = true
        stopAccepting()
        for channel in channels.values { channel.drain() }
        guard isServing else { return }
        await withUnsafeContinuation { drainWaiters.append(Parked($0, as: loop.currentRole)) }
    }

    private func wakeDrained() {
        for waiter in drainWaiters { waiter.resume(returning: (), on: loop) }
        drainWaiters = []
    }

    func abort() {
        close()
        for channel in channels.values { channel.abort() }
    }

    func close() {
        guard state != .closed else { return }
        state = .closed
        endRest()
        if let acceptToken {
            // The descriptor goes when the kernel has let go of it: `complete` comes first.
            loop.engine.cancel(acceptToken)
        }
        loop.engine.backend.deregister(fd)
        Descriptor.close(fd)
    }
}

extension SocketOptions {
    /// Sets what a connection's socket is to have.
    func apply(to fd: Int32) throws(Errno) {
        if noDelay { try Socket.set(.noDelay, to: 1, on: fd) }
        if let keepAlive { try Socket.set(.keepAlive, to: keepAlive ? 1 : 0, on: fd) }
        try applyBuffers(to: fd)
    }

    /// Sets the kernel's buffers; a listener's connections inherit them.
    func applyBuffers(to fd: Int32) throws(Errno) {
        if let receiveBufferByteCount {
            try Socket.set(.receiveBuffer, to: receiveBufferByteCount, on: fd)
        }
        if let sendBufferByteCount {
            try Socket.set(.sendBuffer, to: sendBufferByteCount, on: fd)
        }
    }
}
