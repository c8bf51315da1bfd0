// SPDX-License-Identifier: Apache-2.0
#if GRPC
public import GRPCCore
public import GRPCNIOTransportHTTP2Posix
public import NIOSSL
public import Noria

extension HTTP2ServerTransport {
    /// gRPC's HTTP/2 transport on a runtime's loops, in the place of `HTTP2ServerTransport.Posix`.
    ///
    /// Calls run on their connection's own loop. The runtime's shutdown drains it, as
    /// `beginGracefulShutdown` does: nobody new comes in, who is there is told by a GOAWAY, calls in
    /// flight end; what is left at the runtime's deadline is cut.
    public struct Noria: ListeningServerTransport {
        /// A message's bytes.
        public typealias Bytes = GRPCNIOTransportBytes

        private let factory: NoriaListenerFactory
        private let transport: Custom<NoriaListenerFactory>

        /// A transport of `runtime`'s loops, which must run as long as it listens.
        ///
        /// The address is an IP literal and a port, of which 0 takes a free one, or a path, where a
        /// socket that is there is removed before. `tls` is SwiftNIO's configuration; where it names
        /// no application protocols it is given HTTP/2's, and clients that agree on none are refused.
        public init(
            _ runtime: Runtime,
            address: GRPCNIOTransportCore::SocketAddress,
            tls: TLSConfiguration? = nil,
            config: Posix.Config = .defaults
        ) {
            factory = NoriaListenerFactory(runtime, address: address, tls: tls)
            transport = Custom(
                listenerFactory: factory,
                config: Custom<NoriaListenerFactory>.Config(
                    compression: config.compression,
                    connection: config.connection,
                    http2: config.http2,
                    rpc: config.rpc,
                    channelDebuggingCallbacks: config.channelDebuggingCallbacks
                )
            )
        }

        /// Where it listens, once it does.
        ///
        /// - Throws: `RPCError` when it does not listen any more, or could not.
        public var listeningAddress: GRPCNIOTransportCore::SocketAddress {
            get async throws {
                if let address = await transport.listeningAddress { return address }
                throw RPCError(
                    code: .unavailable,
                    message: """
                        The transport has no address: it was shut down, or could not listen, of \
                        which GRPCServer.serve() has thrown the reason.
                        """
                )
            }
        }

        /// What `GRPCServer` tells of its methods.
        public func configure(context: GRPCServerContext) { transport.configure(context: context) }

        /// Serves until the transport, or the runtime, is shut down and the last call has ended.
        @concurrent
        public func listen(
            streamHandler:
                @escaping @Sendable @concurrent (
                    _ stream: RPCStream<Inbound, Outbound>,
                    _ context: ServerContext
                ) async -> Void
        ) async throws {
            let factory = factory
            try await transport.listen { stream, context in
                await factory.atHome(of: context.remotePeer) {
                    await streamHandler(stream, context)
                }
            }
        }

        /// Lets nobody new in, and lets the calls in flight end.
        ///
        /// Any thread.
        public func beginGracefulShutdown() { factory.quiesce() }
    }
}

extension ServerTransport where Self == HTTP2ServerTransport.Noria {
    /// The transport of a runtime's loops, as `http2NIOPosix` is that of SwiftNIO's.
    public static func http2Noria(
        _ runtime: Runtime,
        address: GRPCNIOTransportCore::SocketAddress,
        tls: TLSConfiguration? = nil,
        config: HTTP2ServerTransport.Posix.Config = .defaults
    ) -> Self {
        HTTP2ServerTransport.Noria(runtime, address: address, tls: tls, config: config)
    }
}
#endif
