// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem
internal import SystemPackage

/// One attempt to connect, and the address that the kernel reads meanwhile.
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
        do throws(Errno) { fd = try Socket.stream(isIPv6: address.storage.isIPv6) } catch {
            throw NetworkError(errno: error, "connect to", address: address)
        }
        do {
            try loop.engine.backend.register(fd)
            let result = await wait(fd, timeout)
            if isTimedOut {
                throw NetworkError(
                    .timedOut,
                    "connect to",
                    address: address,
                    advice: "not done after \(timeout)"
                )
            }
            if result == -Errno.canceled.rawValue { throw CancellationError() }
            guard result == 0 else {
                throw NetworkError(errno: Errno(negated: result), "connect to", address: address)
            }
            return try StreamChannel(
                fd,
                on: loop,
                limits: limits,
                options: options,
                isRegistered: true
            )
        } catch {
            loop.engine.backend.deregister(fd)
            Descriptor.close(fd)
            if let error = error as? Errno {
                throw NetworkError(errno: error, "connect to", address: address)
            }
            throw error
        }
    }

    private func wait(_ fd: Int32, _ timeout: Duration) async -> Int32 {
        await loop.park { parked in
            if Task.isCancelled {
                return parked.resume(returning: -Errno.canceled.rawValue, on: loop)
            }
            switch loop.engine.submit(.connect(fd, to: storage), owner: self) {
            case .done(let completion): parked.resume(returning: completion.result, on: loop)
            case .pending(let token):
                self.token = token
                waiting = parked
                let deadline = MonotonicClock.now &+ UInt64(timeout.nanoseconds)
                timer = loop.timers.add(deadline: deadline, owner: self)
            }
        } onCancel: {
            self.interrupt()
        }
    }

    private func interrupt() {
        if let token { loop.engine.cancel(token) }
    }

    func timerFired(_ context: UInt) {
        timer = nil
        guard token != nil else { return }
        isTimedOut = true
        interrupt()
    }

    func complete(_ completion: Completion, kind: Submission.Kind) {
        token = nil
        if let timer = timer.take() { loop.timers.cancel(timer) }
        // It was done before the time was up after all.
        if completion.result == 0 { isTimedOut = false }
        waiting.take()?.resume(returning: completion.result, on: loop)
    }
}

extension TCPConnection {
    /// Connects to an IPv4 or IPv6 literal; whoever calls closes.
    ///
    /// - Throws: `NetworkError` (`.refused`, `.unreachable`, `.timedOut`, `.badAddress`,
    ///   `.descriptorsExhausted`, `.noRuntime`), or `CancellationError`.
    public static func connect(
        host: String,
        port: Int,
        timeout: Duration = .seconds(10),
        options: SocketOptions? = nil,
        limits: StreamLimits? = nil
    ) async throws -> Self {
        let address = try SocketAddress.ip(host, port: port)
        guard let runtime = Runtime.current else {
            throw NetworkError(.noRuntime, "connect to", address: address)
        }
        let loop = EventLoop.current ?? runtime.eventLoops.next()
        guard loop.isHome else {
            return try await loop.bring {
                try await connect(
                    host: host,
                    port: port,
                    timeout: timeout,
                    options: options,
                    limits: limits
                )
            }
        }
        let network = runtime.configuration.network
        let channel = try await Connector(to: address, on: loop).connect(
            timeout: timeout,
            options: options ?? network.socket,
            limits: limits ?? network.limits
        )
        return Self(channel: channel)
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
