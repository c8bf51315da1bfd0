// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaEngine
internal import NoriaSystem
public import SystemPackage

/// A listening Unix stream socket; with several loops it hands its connections out in turn.
///
/// `serve` gives each connection its own child task on its loop. A shutdown stops the accepting
/// without resetting anyone, lets what is in hand be answered, and then `serve` returns. Its path
/// is removed when it stops accepting, unless another listens there by then.
public struct UnixListener: Drainable {
    private let acceptor: Acceptor

    /// How long one who listens is given to end, before the address counts as in use.
    ///
    /// The ring of a process that was killed is taken down by the kernel in its own time, and holds
    /// the listener until then: some milliseconds after the process has gone.
    private static let pauses: [Duration] = [5, 10, 20, 40, 80].map { .milliseconds($0) }

    /// The address that it listens on.
    public var localAddress: SocketAddress { acceptor.localAddress }

    /// Listens on a path, which has this mode from its first moment: whoever may write to it may
    /// connect, by default the own user alone.
    ///
    /// The path of a socket on which nobody listens any more is taken over; whether somebody does is
    /// found out by connecting, and he is given 155 ms to end. The folder must exist, and is best
    /// one that strangers can't write to.
    ///
    /// - Throws: `NetworkError`: `.addressInUse` when somebody listens there, or the path is
    ///   something else than a socket, which is left alone; `.permissionDenied`, `.badAddress` for
    ///   a path of more than 107 bytes, `.descriptorsExhausted`, `.noRuntime`; `CancellationError`.
    public static func bind(
        path: FilePath,
        mode: FilePermissions = [.ownerReadWrite],
        limits: StreamLimits? = nil,
        proxyProtocol: ProxyProtocol = .off
    ) async throws -> Self {
        try await bind(
            address: .unix(path),
            mode: mode,
            limits: limits,
            proxyProtocol: proxyProtocol
        )
    }

    /// Listens on a Unix address, a path's or an abstract one, which has no mode: anyone in the
    /// network namespace may connect there.
    ///
    /// - Throws: as `bind(path:)`; `.badAddress` for an IP address, too.
    public static func bind(
        address: SocketAddress,
        mode: FilePermissions = [.ownerReadWrite],
        limits: StreamLimits? = nil,
        proxyProtocol: ProxyProtocol = .off
    ) async throws -> Self {
        guard address.isUnix else {
            throw SocketAddress.notAnAddress("\(address)", "for an IP address use 'TCPListener'")
        }
        guard let runtime = Runtime.current else {
            throw NetworkError(.noRuntime, "listen on", address: address)
        }
        let network = runtime.configuration.network
        let limits = limits ?? network.limits
        try limits.check("listen on", address)
        for pause in pauses {
            guard ListeningSocket.hasListener(at: address) else { break }
            try await Task.sleep(for: pause)
        }
        let loop = EventLoop.current ?? runtime.eventLoops.main
        let acceptor = try await loop.bring {
            try Acceptor(
                .unix(address, mode: mode, network.socket),
                on: loop,
                homes: Array(runtime.eventLoops),
                runtime: runtime,
                options: network.socket,
                limits: limits,
                proxyProtocol: proxyProtocol,
                admission: Admission(limit: limits.connectionLimit)
            )
        }
        let listener = UnixListener(acceptor: acceptor)
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
        _ handler: @escaping @Sendable (UnixConnection) async throws -> Void
    ) async throws {
        try await acceptor.serve(as: UnixConnection.init(channel:), handler)
    }

    /// Lets no new connection in, and accepts those who have connected: nobody is reset.
    ///
    /// Any thread.
    public func stopAccepting() { acceptor.loop.perform { acceptor.stopAccepting() } }

    /// Stops accepting, ends idle connections, lets busy ones answer; returns when all have ended.
    public func drain(until deadline: ContinuousClock.Instant) async {
        await acceptor.loop.bring { [acceptor] in await acceptor.drain() }
    }

    /// Ends every connection, now.
    ///
    /// Any thread.
    public func abort() { acceptor.loop.perform { acceptor.abort() } }

    /// Stops accepting at once, closes the socket and removes its path.
    ///
    /// Connections go on. Any thread.
    public func close() async {
        await acceptor.loop.bring { [acceptor] in await acceptor.closeAndRelease() }
    }
}
