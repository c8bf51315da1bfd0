// SPDX-License-Identifier: Apache-2.0
#if Hummingbird
internal import HummingbirdCore
public import HummingbirdHTTP2
internal import HummingbirdTLS
internal import NIOCore
internal import NIOHTTP1
public import NIOSSL

/// What a `NoriaApplication` speaks.
public enum NoriaServerTransport: Sendable {
    /// HTTP/1.1 as it is.
    case http1
    /// HTTP/1.1 by TLS.
    case tls(TLSConfiguration)
    /// HTTP/2 or HTTP/1.1 by TLS, as the handshake agrees (ALPN).
    ///
    /// Hummingbird's configuration has an idle connection's time, and how long the streams in
    /// flight may take after a shutdown has begun; the runtime's deadline bounds them anyway.
    case http2(TLSConfiguration, HTTP2ChannelConfiguration = HTTP2ChannelConfiguration())
    /// HTTP/2 as it is, to clients that know it beforehand (h2c).
    case plaintextHTTP2(HTTP2ChannelConfiguration = HTTP2ChannelConfiguration())

    /// What serves the connections of `server`, whose requests `answer` answers.
    func service(
        _ server: HTTPServer,
        _ answer: @escaping HTTP1Child.Answer
    ) throws -> ServerService {
        let http1 = HTTP1Child(answer)
        let responder: HTTPChannelHandler.Responder = { request, writer, channel in
            let response = try await answer(request, channel)
            do {
                try await writer.write(response: response.head, body: response.body)
            } catch is HTTPParserError {
                // It would be answered by a second head.
                throw ChannelError.inputClosed
            }
        }
        switch self {
        case .http1: return ServerService { try await server.run(http1) }
        case .tls(let tls):
            let secured = try TLSChannel(http1, tlsConfiguration: tls)
            return ServerService { try await server.run(secured) }
        case .http2(let tls, let configuration):
            let child = HTTP2Watched(
                child: try HTTP2UpgradeChannel(
                    tlsConfiguration: tls,
                    configuration: configuration.watched,
                    responder: responder
                )
            )
            return ServerService { try await server.run(child) }
        case .plaintextHTTP2(let configuration):
            let child = HTTP2Watched(
                child: HTTP2Channel(responder: responder, configuration: configuration.watched)
            )
            return ServerService { try await server.run(child) }
        }
    }
}

extension HTTP2ChannelConfiguration {
    /// With the handler that tells of heads where HTTP/1.1 was agreed on.
    fileprivate var watched: Self {
        var result = self
        let handlers = streamConfiguration.additionalChannelHandlers
        result.streamConfiguration.additionalChannelHandlers = { [HeadWatcher()] + handlers() }
        return result
    }
}
#endif
