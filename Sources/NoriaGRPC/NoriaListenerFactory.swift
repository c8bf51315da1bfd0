// SPDX-License-Identifier: Apache-2.0
#if GRPC
internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import NIOCore
internal import NIOSSL
internal import Noria
internal import NoriaNIO
internal import NoriaSystem

/// Makes gRPC's listening channel with Noria's bootstrap.
struct NoriaListenerFactory: HTTP2ServerTransport.ListenerFactory {
    private let group: NoriaEventLoopGroup
    private let address: GRPCNIOTransportCore::SocketAddress
    private let tls: TLSConfiguration?
    private let listening = Listening()
    /// Where there is one loop every task is on it.
    private let homes: ConnectionHomes?

    init(
        _ runtime: Runtime,
        address: GRPCNIOTransportCore::SocketAddress,
        tls: TLSConfiguration?
    ) {
        group = NoriaEventLoopGroup(runtime)
        self.address = address
        self.tls = tls
        homes = runtime.eventLoops.count > 1 ? ConnectionHomes() : nil
    }

    var eventLoopGroup: any NIOCore::EventLoopGroup { group }

    @concurrent
    func makeListeningChannel(
        listenerConfigurator: HTTP2ServerTransport.ListenerConfigurator,
        connectionConfigurator: HTTP2ServerTransport.ConnectionConfigurator
    ) async throws -> NIOAsyncChannel<
        HTTP2ServerTransport.ConnectionConfigurator.ConnectionChannel, Never
    > {
        let (security, homes) = (try secured(), homes)
        let bootstrap = NoriaServerBootstrap(group: group)
            .serverChannelInitializer { listenerConfigurator.configure(channel: $0) }
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
        let ready:
            @Sendable (any Channel) -> EventLoopFuture<
                HTTP2ServerTransport.ConnectionConfigurator.ConnectionChannel
            > = { channel in
                channel.eventLoop.makeCompletedFuture {
                    homes?.add(channel)
                    if let context = security.context {
                        try channel.pipeline.syncOperations.addHandler(
                            NIOSSLServerHandler(context: context)
                        )
                    }
                    try channel.pipeline.syncOperations.addHandler(HTTP2GoAwayHandler())
                }.flatMap { connectionConfigurator.configure(channel: channel, tls: security.kind) }
            }
        let made:
            NIOAsyncChannel<
                HTTP2ServerTransport.ConnectionConfigurator.ConnectionChannel, Never
            >
        if let path = address.unixDomainSocket?.path {
            made = try await bootstrap.bind(
                unixDomainSocketPath: path,
                cleanupExistingSocketFile: true,
                childChannelInitializer: ready
            )
        } else if let (host, port) = hostAndPort {
            made = try await bootstrap.bind(host: host, port: port, childChannelInitializer: ready)
        } else {
            throw RPCError(
                code: .invalidArgument,
                message: "Noria listens at IP literals and at paths, not at \(address)."
            )
        }
        listening.began(made.channel)
        return made
    }

    private var hostAndPort: (String, Int)? {
        address.ipv4.map { ($0.host, $0.port) } ?? address.ipv6.map { ($0.host, $0.port) }
    }

    private func secured() throws -> (
        context: NIOSSLContext?, kind: HTTP2ServerTransport.ConnectionConfigurator.TLS
    ) {
        guard var tls else { return (nil, .none) }
        if tls.applicationProtocols.isEmpty { tls.applicationProtocols = ["grpc-exp", "h2"] }
        return (try NIOSSLContext(configuration: tls), .configured(requireALPN: true))
    }

    /// Runs what serves a call on the loop of its connection.
    @concurrent
    func atHome(of peer: String, _ body: @escaping @Sendable @concurrent () async -> Void) async {
        guard let home = homes?.loop(of: peer) else { return await body() }
        await withTaskExecutorPreference(home.taskExecutor) { @concurrent in await body() }
    }

    /// Any thread.
    func quiesce() { listening.quiesce() }
}

/// The listening channel, once there is one, and whether it was to be shut down before.
private final class Listening: Sendable {
    private let state = Guarded<(channel: (any Channel)?, isQuiescing: Bool)>((nil, false))

    func began(_ channel: any Channel) {
        let isQuiescing = state.withLock { state in
            state.channel = channel
            return state.isQuiescing
        }
        if isQuiescing { tell(channel) }
    }

    func quiesce() {
        let channel = state.withLock { state in
            state.isQuiescing = true
            return state.channel
        }
        if let channel { tell(channel) }
    }

    /// Nobody who waits in the listener's queue is reset: gRPC's own way closes it at once.
    private func tell(_ channel: any Channel) {
        channel.triggerUserOutboundEvent(ChannelShouldQuiesceEvent(), promise: nil)
    }
}
#endif
