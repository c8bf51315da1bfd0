// SPDX-License-Identifier: Apache-2.0
#if Hummingbird
internal import Hummingbird
internal import HummingbirdCore
internal import Logging
internal import NIOCore
internal import Noria
internal import NoriaNIO
internal import ServiceLifecycle

/// Hummingbird's server over Noria's bootstrap: a task for each connection, on its loop.
struct HTTPServer: Sendable {
    let address: NoriaServerAddress
    let configuration: ApplicationConfiguration
    let headerTimeout: Duration
    let group: NoriaEventLoopGroup
    let logger: Logger
    let onServerRunning: @Sendable (any Channel) async -> Void

    func run<Child: ServerChildChannel>(_ child: Child) async throws {
        let server = try await bind(child)
        await withGracefulShutdownHandler {
            await onServerRunning(server.channel)
            await withDiscardingTaskGroup { tasks in
                do {
                    try await server.executeThenClose { connections in
                        for try await connection in connections {
                            tasks.addTask(executorPreference: home(of: connection.channel)) {
                                await child.handle(value: connection, logger: logger)
                            }
                        }
                    }
                } catch { logger.error("accept: \(error)") }
            }
        } onGracefulShutdown: {
            server.channel.triggerUserOutboundEvent(ChannelShouldQuiesceEvent(), promise: nil)
        }
    }

    /// Where there is one loop every task is on it.
    private func home(of channel: any Channel) -> (any TaskExecutor)? {
        guard let loop = channel.eventLoop as? NoriaEventLoop, !loop.inEventLoop else { return nil }
        return loop.loop.taskExecutor
    }

    private func bind<Child: ServerChildChannel>(
        _ child: Child
    ) async throws -> NIOAsyncChannel<Child.Value, Never> {
        let logger = logger
        let timeout = TimeAmount.nanoseconds(
            headerTimeout.components.seconds * 1_000_000_000
                + headerTimeout.components.attoseconds / 1_000_000_000
        )
        let bootstrap = NoriaServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: Int32(clamping: configuration.backlog))
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
        let ready: @Sendable (any Channel) -> EventLoopFuture<Child.Value> = { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(HeaderTimeout(timeout))
            }.flatMap { child.setup(channel: channel, logger: logger) }
        }
        switch address {
        case .hostname(let host, let port):
            let server = try await bootstrap.bind(
                host: host,
                port: port,
                childChannelInitializer: ready
            )
            let port = server.channel.localAddress?.port ?? port
            logger.info("Server started and listening on \(host):\(port)")
            return server
        case .unixDomainSocket(let path):
            let server = try await bootstrap.bind(
                unixDomainSocketPath: path,
                cleanupExistingSocketFile: true,
                childChannelInitializer: ready
            )
            logger.info("Server started and listening on socket path \(path)")
            return server
        }
    }
}
#endif
