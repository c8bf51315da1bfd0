// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaEngine
internal import NoriaSystem
internal import SystemPackage

/// A listening TCP socket on every loop, all of one address: the kernel spreads the connections.
///
/// `serve` gives each connection its own child task on its loop. A shutdown stops the accepting
/// without resetting anyone, lets what is in hand be answered, and then `serve` returns.
public struct TCPListener: Drainable {
    let acceptors: [Acceptor]

    /// The address that it listens on; its port is the real one when 0 was asked for.
    public var localAddress: SocketAddress { acceptors[0].localAddress }

    /// Listens on an IPv4 or IPv6 literal, or the first address of a name.
    ///
    /// Port 0 takes a free one. The first socket takes the port for this process alone, and those
    /// of the other loops join it. Behind a load balancer `proxyProtocol` has its clients named.
    ///
    /// - Throws: `NetworkError`: `.addressInUse`, `.permissionDenied`, `.badAddress`, `.unknownHost`,
    ///   `.descriptorsExhausted`, `.noRuntime`.
    public static func bind(
        host: String,
        port: Int,
        options: SocketOptions? = nil,
        limits: StreamLimits? = nil,
        proxyProtocol: ProxyProtocol = .off
    ) async throws -> Self {
        let literal = try Resolver.literal(host, port: port)
        guard let runtime = Runtime.current else {
            throw NetworkError(.noRuntime, "listen on", address: literal)
        }
        // There is at least one; a listener has one address.
        let found = try await runtime.resolver.addresses(of: host, port: port)
        let address = found[0]
        let network = runtime.configuration.network
        let (options, limits) = (options ?? network.socket, limits ?? network.limits)
        try limits.check("listen on", address)
        let admission = Admission(limit: limits.connectionLimit)
        var acceptors: [Acceptor] = []
        for loop in runtime.eventLoops {
            let role: ListeningSocket.PortRole =
                runtime.eventLoops.count == 1 ? .alone : acceptors.isEmpty ? .first : .sibling
            let address = acceptors.first?.localAddress ?? address
            do {
                let acceptor = try await loop.bring {
                    try Acceptor(
                        .tcp(address, options, role),
                        on: loop,
                        runtime: runtime,
                        options: options,
                        limits: limits,
                        proxyProtocol: proxyProtocol,
                        admission: admission
                    )
                }
                acceptors.append(acceptor)
            } catch {
                await TCPListener(acceptors: acceptors).close()
                throw error
            }
        }
        let listener = TCPListener(acceptors: acceptors)
        runtime.shutdown.register(listener, name: "listener \(listener.localAddress)")
        return listener
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
        if acceptors.count == 1 {
            return try await acceptors[0].serve(as: TCPConnection.init(channel:), handler)
        }
        try await withThrowingDiscardingTaskGroup { group in
            for acceptor in acceptors {
                group.addTask(executorPreference: acceptor.loop.taskExecutor) {
                    try await acceptor.serve(as: TCPConnection.init(channel:), handler)
                }
            }
        }
    }

    /// Lets no new connection in, and accepts those whose handshake is done: nobody is reset.
    ///
    /// Any thread.
    public func stopAccepting() {
        for acceptor in acceptors { acceptor.loop.perform { acceptor.stopAccepting() } }
    }

    /// Stops accepting, ends idle connections, lets busy ones answer; returns when all have ended.
    public func drain(until deadline: ContinuousClock.Instant) async {
        // All stop before the first is waited for.
        stopAccepting()
        await withDiscardingTaskGroup { group in
            for acceptor in acceptors {
                group.addTask { await acceptor.loop.bring { await acceptor.drain() } }
            }
        }
    }

    /// Resets every connection.
    ///
    /// Any thread.
    public func abort() {
        for acceptor in acceptors { acceptor.loop.perform { acceptor.abort() } }
    }

    /// Stops accepting at once and closes the sockets; their address is free when it returns.
    ///
    /// Connections go on. Any thread.
    public func close() async {
        for acceptor in acceptors {
            await acceptor.loop.bring { await acceptor.closeAndRelease() }
        }
    }
}
