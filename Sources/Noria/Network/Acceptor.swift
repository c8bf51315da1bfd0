// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaEngine
internal import NoriaSystem
internal import Synchronization
internal import SystemPackage

/// A listening socket on its loop, and the connections that came from it.
///
/// Stopping goes through three states. A listener that is closed resets the connections that it
/// has not accepted yet, and drained "until EAGAIN" under load never ends. So: `refusing` drops
/// new SYNs by a socket filter while handshakes under way complete, for 5 ms (a Unix socket refuses
/// at once, and has no handshakes); `emptying` accepts what is queued, in bounded number; then it
/// is closed, and nobody was reset.
///
/// SAFETY (`@unchecked Sendable`): all but the constants belongs to the loop's thread.
final class Acceptor: OperationOwner, TimerOwner, @unchecked Sendable {
    let loop: EventLoop
    private let socket: ListeningSocket
    /// The loops on which its connections live, each in turn.
    let homes: [EventLoop]
    var acceptedCount = 0
    let runtime: Runtime
    let options: SocketOptions
    let limits: StreamLimits
    let proxyProtocol: ProxyProtocol
    let admission: Admission

    private enum State { case accepting, refusing, emptying, closed }

    private var state = State.accepting
    private var waiting: Parked<Int32>?
    private var acceptToken: Token?
    /// Who serves, while nobody is to be accepted.
    private var resting: Parked<Void>?
    private var restTimer: TimerID?
    var channels: [UInt64: StreamChannel] = [:]
    var isServing = false
    private let hasServed = Milestone()
    private var isReleased = false
    private let closed = Atomic<Bool>(false)
    private var releaseWaiters: [Parked<Void>] = []
    var isDraining = false
    var isAborted = false
    /// Another process has the socket, too, and its queue is there for the next of us.
    var isKeptElsewhere = false

    /// The time that a handshake on this machine or its network segment needs.
    ///
    /// DESIGN §6.
    private static let handshakeNanoseconds: UInt64 = 5_000_000
    /// How long accepting rests when no descriptor is left.
    private static let backOffNanoseconds: UInt64 = 100_000_000

    /// Takes a listening socket over; its connections live here, or on `homes`.
    ///
    /// Loop thread only.
    init(
        _ socket: ListeningSocket,
        on loop: EventLoop,
        homes: [EventLoop]? = nil,
        runtime: Runtime,
        options: SocketOptions,
        limits: StreamLimits,
        proxyProtocol: ProxyProtocol,
        admission: Admission
    ) throws(NetworkError) {
        self.socket = socket
        self.loop = loop
        self.homes = homes ?? [loop]
        self.runtime = runtime
        self.options = options
        self.limits = limits
        self.proxyProtocol = proxyProtocol
        self.admission = admission
        do throws(Errno) { try loop.engine.backend.register(socket.fd) } catch {
            socket.close()
            throw NetworkError(errno: error, "listen on", address: socket.address)
        }
    }

    var localAddress: SocketAddress { socket.address }
    /// Any thread.
    var isClosed: Bool { closed.load(ordering: .relaxed) }

    // MARK: Accepting

    /// The descriptor of the next connection, which has its place, or nil when there will be none.
    func accept() async throws -> Int32? {
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
                return result
            }
            let error = Errno(negated: result)
            switch error {
            // Whatever it says: the socket may be gone before the kernel was asked.
            case _ where state == .closed: return nil
            case .canceled, .connectionAbort, .interrupted: continue
            // Its listener was shut down under it: now it is asked directly.
            case .resourceTemporarilyUnavailable where state == .emptying: continue
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
                // Without a descriptor left accept says so even of an empty queue.
                let isEmpty = !Descriptor.waits(socket.fd, nanoseconds: 0)
                var result =
                    isEmpty
                    ? -Errno.resourceTemporarilyUnavailable.rawValue
                    : Int32(truncatingIfNeeded: Socket.accept(socket.fd))
                if result == -Errno.resourceTemporarilyUnavailable.rawValue {
                    close()
                    result = -Errno.canceled.rawValue
                }
                return parked.resume(returning: result, on: loop)
            }
            switch loop.engine.submit(.accept(socket.fd), owner: self) {
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
        var result = completion.result
        // Another process waits for this socket, too, and the kernel wakes one of us for each that
        // connects. Who was woken and is cancelled before it accepts must accept all the same: nobody
        // else is told of that one.
        if state == .closed, isKeptElsewhere, result < 0 {
            let last = Socket.accept(socket.fd)
            if last >= 0 { result = Int32(truncatingIfNeeded: last) }
        }
        if state == .closed { release() }
        guard let parked = waiting.take() else { preconditionFailure("an accept has a waiter") }
        parked.resume(returning: result, on: loop)
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
        loop.checkThread()
        if let timer = restTimer.take() { loop.timers.cancel(timer) }
        resting.take()?.resume(returning: (), on: loop)
    }

    func finishServing() {
        isServing = false
        close()
        hasServed.reach()
    }

    // MARK: Stopping

    func stopAccepting() {
        guard state == .accepting else { return }
        guard !isKeptElsewhere else { return close() }
        state = .refusing
        guard socket.refuseNewConnections() else { return beginEmptying() }
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
            if state == .refusing { beginEmptying() }
        case nil:
            return
        }
    }

    private func beginEmptying() {
        state = .emptying
        // Whoever waits in an accept looks for himself now.
        interrupt()
        if !isServing { close() }
    }

    /// Has the service manager keep the socket for the next process.
    ///
    /// Loop thread only.
    func store(_ name: String, with supervisor: Supervisor) throws(NetworkError) {
        loop.checkThread()
        guard state == .accepting else {
            throw NetworkError(
                .closed,
                "store",
                address: localAddress,
                advice: "it has stopped to accept: store it before its end begins"
            )
        }
        do throws(Errno) { try supervisor.store(socket.fd, name: name) } catch {
            throw NetworkError(errno: error, "store", address: localAddress)
        }
        isKeptElsewhere = true
    }

    private enum TimerKind: UInt { case backOff, handshake }

    /// Stops accepting, ends idle connections, lets busy ones answer.
    ///
    /// Loop thread only.
    func beginDrain() {
        loop.checkThread()
        guard !isDraining else { return }
        isDraining = true
        stopAccepting()
        for channel in channels.values { channel.loop.perform { channel.drain() } }
    }

    /// The same, and waits until the last has ended, or the calling task is cancelled.
    func drain() async {
        beginDrain()
        if isServing { try? await hasServed.wait() }
    }

    func abort() {
        close()
        isAborted = true
        for channel in channels.values { channel.abort() }
    }

    func close() {
        guard state != .closed else { return }
        state = .closed
        closed.store(true, ordering: .relaxed)
        endRest()
        // The descriptor goes when the kernel has let go of it: another could get its number.
        if let acceptToken { loop.engine.cancel(acceptToken) } else { release() }
    }

    /// The same, and waits until the address is free for others.
    ///
    /// Loop thread only.
    func closeAndRelease() async {
        loop.checkThread()
        close()
        guard !isReleased else { return }
        await withUnsafeContinuation { releaseWaiters.append(Parked($0, as: loop.currentRole)) }
    }

    private func release() {
        loop.engine.backend.deregister(socket.fd)
        socket.close()
        isReleased = true
        for waiter in releaseWaiters { waiter.resume(returning: (), on: loop) }
        releaseWaiters = []
    }
}
