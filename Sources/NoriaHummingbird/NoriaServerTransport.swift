// SPDX-License-Identifier: Apache-2.0
#if Hummingbird
internal import HummingbirdCore
internal import HummingbirdTLS
public import NIOSSL

/// What a `NoriaApplication` speaks.
public enum NoriaServerTransport: Sendable {
    /// HTTP/1.1 as it is.
    case http1
    /// HTTP/1.1 by TLS.
    case tls(TLSConfiguration)

    /// What serves the connections of `server`, which answers by `responder`.
    func service(
        _ server: HTTPServer,
        _ responder: @escaping HTTPChannelHandler.Responder
    ) throws -> ServerService {
        let http1 = HTTP1Channel(
            responder: responder,
            configuration: HTTP1Channel.Configuration(additionalChannelHandlers: [HeadWatcher()])
        )
        switch self {
        case .http1: return ServerService { try await server.run(http1) }
        case .tls(let tls):
            let secured = try TLSChannel(http1, tlsConfiguration: tls)
            return ServerService { try await server.run(secured) }
        }
    }
}
#endif
