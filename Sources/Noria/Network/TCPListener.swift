// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaEngine
internal import NoriaSystem
internal import SystemPackage

/// A listening TCP socket.
///
/// `serve` gives each connection its own child task on its loop. A shutdown stops the accepting
/// without resetting anyone, lets what is in hand be answered, and then `serve` returns.
public struct TCPListener: Drainable {
    let acceptor: Acceptor

    /// The address that it listens on; its port is the real one when 0 was asked for.
    public var localAddress: SocketAddress { acceptor.localAddress }

    /// Listens on an IPv4 or IPv6 literal.
    ///
    /// Port 0 takes a free one.
    ///
    /// - Throws: `NetworkError`: `.addressInUse`, `.permissionDenied`, `.badAddress`,
    ///   `.descriptorsExhausted`, `.noRuntime`.
    public static func bind(
        host: String,
        port: Int,
        options: SocketOptions? = nil,
        limits: StreamLimits? = nil
    ) async throws -> Self {
        let address = try SocketAddress.ip(host, port: port)
        guard let runtime = Runtime.current else {
            throw NetworkError(.noRuntime, "listen on", address: address)
        }
        let loop = EventLoop.current ?? runtime.eventLoops.main
        guard loop.isHome else {
            return try await loop.bring {
                try await bind(host: host, port: port, options: options, limits: limits)
            }
        }
        let acceptor = try Acceptor(
            address,
            on: loop,
            runtime: runtime,
            options: options ?? runtime.configuration.network.socket,
            limits: limits ?? runtime.configuration.network.limits
        )
        runtime.shutdown.register(
            TCPListener(acceptor: acceptor),
            name: "listener \(acceptor.localAddress)"
        )
        return TCPListener(acceptor: acceptor)
    }

    /// Accepts connections and runs `handler` for each in a child task, until the listener is
    /// drained or closed; returns when the last handler has.
    ///
    /// A handler that throws ends its own connection and is reported; the others go on. Cancelled,
    /// it cancels every handler and waits for them.
    ///
    /// - Throws: `NetworkError` when the listening socket itself fails, or `CancellationError`.
    public func serve(
        _ handler: @escaping @Sendable (TCPConnection) async throws -> Void
    ) async throws {
        guard acceptor.loop.isHome else {
            return try await acceptor.loop.bring { try await self.serve(handler) }
        }
        defer { acceptor.finishServing() }
        try await withThrowingDiscardingTaskGroup { group in
            while let channel = try await acceptor.accept() {
                group.addTask { await acceptor.serve(channel, handler) }
            }
        }
        try Task.checkCancellation()
    }

    /// Lets no new connection in, and accepts those whose handshake is done: nobody is reset.
    ///
    /// Any thread.
    public func stopAccepting() { acceptor.loop.perform { acceptor.stopAccepting() } }

    /// Stops accepting, ends idle connections, lets busy ones answer; returns when all have ended.
    public func drain(until deadline: ContinuousClock.Instant) async {
        await acceptor.loop.bring { [acceptor] in await acceptor.drain() }
    }

    /// Resets every connection.
    ///
    /// Any thread.
    public func abort() { acceptor.loop.perform { acceptor.abort() } }

    /// Stops accepting at once and closes the socket.
    ///
    /// Connections go on. Any thread.
    public func close() async {
        await acceptor.loop.bring { [acceptor] in acceptor.close() }
    }
}
