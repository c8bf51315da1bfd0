// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem
internal import SystemPackage

/// One attempt to connect, and the address that the kernel reads meanwhile.
///
/// A Unix socket connects at once or not at all, so for that no ring and no selector is asked. When
/// the listener's queue is full the kernel has no event for its end: a timer tries again.
///
/// SAFETY (`@unchecked Sendable`): it belongs to the loop's thread; cancelling posts to it.
final class Connector: OperationOwner, TimerOwner, @unchecked Sendable {
    private let loop: EventLoop
    private let address: SocketAddress
    /// Freed with this object, which the operation table holds until the final completion.
    private let storage: UnsafeMutablePointer<SocketStorage>
    private var token: Token?
    private var timer: TimerID?
    private var waiting: Parked<Int32>?
    private var isTimedOut = false
    /// When the time is up, and the rest before the next try of a Unix socket: nanoseconds.
    private var deadline: UInt64 = 0
    private var pause: UInt64 = 1_000_000
    private static let longestPause: UInt64 = 32_000_000
    /// The Unix socket that waits for room in the listener's queue.
    private var queuing: Int32?

    init(to address: SocketAddress, on loop: EventLoop) {
        self.address = address
        self.loop = loop
        storage = .allocate(capacity: 1)
        storage.initialize(to: address.storage)
    }

    deinit { storage.deallocate() }

    /// Connects: a channel, or what stood in the way.
    func connect(
        timeout: Duration,
        options: SocketOptions,
        limits: StreamLimits
    ) async throws -> StreamChannel {
        try Task.checkCancellation()
        try limits.check("connect to", address)
        let fd: Int32
        do throws(Errno) { fd = try Socket.stream(for: address.storage) } catch {
            throw NetworkError(errno: error, "connect to", address: address)
        }
        do {
            // An unconnected Unix socket reports a hang-up: it is registered afterwards.
            if !address.isUnix { try loop.engine.backend.register(fd) }
            let result = await wait(fd, timeout)
            if isTimedOut {
                throw NetworkError(
                    .timedOut,
                    "connect to",
                    address: address,
                    advice: (address.isUnix ? "the listener's queue is full, " : "")
                        + "not done after \(timeout)"
                )
            }
            if result == -Errno.canceled.rawValue { throw CancellationError() }
            guard result == 0 else { throw failure(Errno(negated: result)) }
            return try StreamChannel(
                fd,
                on: loop,
                limits: limits,
                options: options,
                isRegistered: !address.isUnix
            )
        } catch {
            loop.engine.backend.deregister(fd)
            Descriptor.close(fd)
            if let error = error as? Errno { throw failure(error) }
            throw error
        }
    }

    private func failure(_ error: Errno) -> NetworkError {
        // No listener was ever there, or it removed its path: nobody listens.
        if address.isUnix, error == .noSuchFileOrDirectory {
            return NetworkError(.refused, "connect to", address: address, from: error)
        }
        let isForbidden = address.isUnix && error == .permissionDenied
        return NetworkError(
            errno: error,
            "connect to",
            address: address,
            advice: isForbidden ? "this user must be able to write to the path" : nil
        )
    }

    private func wait(_ fd: Int32, _ timeout: Duration) async -> Int32 {
        await loop.park { parked in
            if Task.isCancelled {
                return parked.resume(returning: -Errno.canceled.rawValue, on: loop)
            }
            deadline = MonotonicClock.now &+ UInt64(timeout.nanoseconds)
            if address.isUnix {
                waiting = parked
                return tryUnix(fd)
            }
            switch loop.engine.submit(.connect(fd, to: storage), owner: self) {
            case .done(let completion): parked.resume(returning: completion.result, on: loop)
            case .pending(let token):
                self.token = token
                waiting = parked
                timer = loop.timers.add(deadline: deadline, owner: self)
            }
        } onCancel: {
            self.interrupt()
        }
    }

    private func tryUnix(_ fd: Int32) {
        queuing = nil
        let result = Socket.connect(fd, to: address.storage)
        if result == -Int(Errno.resourceTemporarilyUnavailable.rawValue) {
            let now = MonotonicClock.now
            isTimedOut = now >= deadline
            if !isTimedOut {
                queuing = fd
                timer = loop.timers.add(deadline: min(now &+ pause, deadline), owner: self)
                pause = min(pause &* 2, Self.longestPause)
                return
            }
        }
        finish(Int32(truncatingIfNeeded: result))
    }

    private func interrupt() {
        if let token { loop.engine.cancel(token) }
        if queuing != nil { finish(-Errno.canceled.rawValue) }
    }

    func timerFired(_ context: UInt) {
        timer = nil
        if let queuing { return tryUnix(queuing) }
        guard token != nil else { return }
        isTimedOut = true
        interrupt()
    }

    func complete(_ completion: Completion, kind: Submission.Kind) {
        token = nil
        // It was done before the time was up after all.
        if completion.result == 0 { isTimedOut = false }
        finish(completion.result)
    }

    private func finish(_ result: Int32) {
        queuing = nil
        if let timer = timer.take() { loop.timers.cancel(timer) }
        waiting.take()?.resume(returning: result, on: loop)
    }

    /// Connects on the loop that runs this code, or on the next one.
    static func connect(
        to address: SocketAddress,
        timeout: Duration,
        options: SocketOptions? = nil,
        limits: StreamLimits? = nil
    ) async throws -> StreamChannel {
        guard let runtime = Runtime.current else {
            throw NetworkError(.noRuntime, "connect to", address: address)
        }
        let loop = EventLoop.current ?? runtime.eventLoops.next()
        guard loop.isHome else {
            return try await loop.bring {
                try await connect(to: address, timeout: timeout, options: options, limits: limits)
            }
        }
        let network = runtime.configuration.network
        return try await Connector(to: address, on: loop).connect(
            timeout: timeout,
            options: options ?? network.socket,
            limits: limits ?? network.limits
        )
    }
}

extension TCPConnection {
    /// Connects to a host by its name, or an IPv4 or IPv6 literal; whoever calls closes.
    ///
    /// The addresses of a name are tried as RFC 8305 says: IPv6 and IPv4 in turn, one more every
    /// 250 ms or as soon as one has failed, and the first that connects is taken. The time-out is
    /// for all of it, the look-up included.
    ///
    /// - Throws: `NetworkError` (`.unknownHost`, `.refused`, `.unreachable`, `.timedOut`,
    ///   `.badAddress`, `.descriptorsExhausted`, `.noRuntime`), whose `causes` are those of each
    ///   address when there were several; or `CancellationError`.
    public static func connect(
        host: String,
        port: Int,
        timeout: Duration = .seconds(10),
        options: SocketOptions? = nil,
        limits: StreamLimits? = nil,
        file: StaticString = #fileID,
        line: UInt = #line
    ) async throws -> Self {
        let literal = try Resolver.literal(host, port: port)
        guard let runtime = Runtime.current else {
            throw NetworkError(.noRuntime, "connect to", address: literal)
        }
        let deadline = ContinuousClock.now + timeout
        let addresses = try await runtime.resolver.addresses(
            of: host,
            port: port,
            within: timeout
        )
        let channel = try await HappyEyeballs.connect(to: host, addresses) { address in
            try await Connector.connect(
                to: address,
                timeout: ContinuousClock.now.duration(to: deadline),
                options: options,
                limits: limits
            )
        }
        return Self(channel: channel.note(openedAt: CodePlace(file: file, line: line)))
    }
}

/// Connects, runs `body` over the connection, and closes it, whatever the body does.
///
/// - Throws: as `TCPConnection.connect`, and what the body throws.
public func withTCPConnection<Value>(
    host: String,
    port: Int,
    timeout: Duration = .seconds(10),
    options: SocketOptions? = nil,
    limits: StreamLimits? = nil,
    _ body: (TCPConnection) async throws -> Value
) async throws -> Value {
    let connection = try await TCPConnection.connect(
        host: host,
        port: port,
        timeout: timeout,
        options: options,
        limits: limits
    )
    return try await connection.channel.run { try await body(connection) }
}
