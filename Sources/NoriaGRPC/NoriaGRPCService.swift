// SPDX-License-Identifier: Apache-2.0
#if GRPC
public import GRPCCore
public import ServiceLifecycle

/// A gRPC server as one of several services: `runtime.run(services: [NoriaGRPCService(server)])`.
///
/// `GRPCServer` is none by itself; gRPC Swift Extras' `GRPCServiceLifecycle` makes it one, too.
public struct NoriaGRPCService<Transport: ServerTransport>: Service {
    private let server: GRPCServer<Transport>

    /// The service of `server`, which is served by it and by nobody else.
    public init(_ server: GRPCServer<Transport>) { self.server = server }

    /// Serves until the group's graceful shutdown, and until the last call has ended.
    public func run() async throws {
        try await withGracefulShutdownHandler {
            try await server.serve()
        } onGracefulShutdown: {
            server.beginGracefulShutdown()
        }
    }
}
#endif
