// SPDX-License-Identifier: Apache-2.0
#if Hummingbird
public import Hummingbird
internal import HummingbirdCore
internal import HTTPTypes
public import Logging
public import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Noria
internal import NoriaNIO
public import ServiceLifecycle

/// A Hummingbird application whose server runs on Noria's loops, in the place of `Application`.
///
/// Router, middleware and context stay as they are. The tasks that answer run on the connection's
/// own loop; the runtime's shutdown drains it, and so does a graceful shutdown of its service group.
/// Make it where a runtime runs, and run it there: `try await application.run()`, or in
/// `runtime.run(services:)`.
public struct NoriaApplication<Responder: HTTPResponder>: ApplicationProtocol
where Responder.Context: InitializableFromSource<ApplicationRequestContextSource> {
    /// The router's.
    public let responder: Responder
    /// The server's name and its backlog; address and availability of connections are not used, for they
    /// are Hummingbird's own.
    public var configuration: ApplicationConfiguration
    /// Services that run beside the server, and end after it.
    public var services: [any Service]
    /// Where it writes to.
    public var logger: Logger

    private let address: NoriaServerAddress
    private let transport: NoriaServerTransport
    private let headerTimeout: Duration
    private let onServerRunning: @Sendable (any Channel) async -> Void
    private let group: NoriaEventLoopGroup?

    /// An application over a router, or whatever else builds a responder.
    ///
    /// `headerTimeout` is how long a request's head may take to come, from its first byte, the first
    /// of a connection from its begin: 10 s. What takes longer is closed: a client that sends a byte
    /// a second holds nothing.
    public init<Builder: HTTPResponderBuilder>(
        router: Builder,
        address: NoriaServerAddress = .hostname("127.0.0.1", port: 8080),
        transport: NoriaServerTransport = .http1,
        configuration: ApplicationConfiguration = ApplicationConfiguration(),
        headerTimeout: Duration = .seconds(10),
        services: [any Service] = [],
        onServerRunning: @escaping @Sendable (any Channel) async -> Void = { _ in },
        logger: Logger? = nil
    ) where Builder.Responder == Responder {
        responder = router.buildResponder()
        self.configuration = configuration
        self.services = services
        self.logger =
            logger ?? Runtime.current?.configuration.logger ?? Logger(label: "Hummingbird")
        self.address = address
        self.transport = transport
        self.headerTimeout = headerTimeout
        self.onServerRunning = onServerRunning
        group = Runtime.current.map(NoriaEventLoopGroup.init)
    }

    /// The runtime's loops; SwiftNIO's own where the application was made without a runtime.
    public var eventLoopGroup: any NIOCore::EventLoopGroup {
        group ?? MultiThreadedEventLoopGroup.singleton
    }

    /// Serves until the runtime, or the group that this runs in, is shut down.
    ///
    /// - Throws: `SocketAddressError`, an `IOError`, what a service throws;
    ///   `NoriaApplicationError` when there is no runtime.
    public func run() async throws {
        guard let group else { throw NoriaApplicationError(.noRuntime) }
        let server = HTTPServer(
            address: address,
            configuration: configuration,
            headerTimeout: headerTimeout,
            group: group,
            logger: logger,
            onServerRunning: onServerRunning
        )
        let serverService = try transport.service(server) { request, channel in
            try await respond(to: request, on: channel)
        }
        guard !services.isEmpty else { return try await serverService.run() }
        try await ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: (services + [serverService]).map {
                    ServiceGroupConfiguration.ServiceConfiguration(service: $0)
                },
                logger: logger
            )
        ).run()
    }

    @concurrent
    private func respond(to request: Request, on channel: any Channel) async throws -> Response {
        let logger = RequestLogHandler.logger(logger, RequestID())
        let context = Responder.Context(
            source: ApplicationRequestContextSource(channel: channel, logger: logger)
        )
        var response: Response
        do {
            response = try await responder.respond(to: request, context: context)
        } catch let error as HTTPParserError {
            throw error
        } catch {
            logger.debug("an error that is no response: \(error)")
            response = Response(status: .internalServerError)
        }
        response.headers[.date] = HTTPDate.now
        if let name = configuration.serverName { response.headers[.server] = name }
        return response
    }
}
#endif
