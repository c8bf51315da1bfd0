// SPDX-License-Identifier: Apache-2.0
#if Hummingbird
internal import HTTPTypes
internal import Hummingbird
internal import HummingbirdCore
internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import NIOHTTPTypes

/// Serves HTTP/1 connections, each in one task on its loop.
///
/// Hummingbird's own loop hands over the first request of a connection; its body is the only way to
/// one that knows of the input's end (`consumeWithInboundCloseHandler`), and so is lent to all that
/// follow. The connection is served from within that first call.
struct HTTP1Child: HTTPChannelHandler {
    typealias Value = NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>
    typealias Answer = @Sendable (Request, any Channel) async throws -> Response

    let responder: Responder

    init(_ answer: @escaping Answer) {
        responder = { first, _, channel in
            try await Self.serve(first.body, channel, answer)
        }
    }

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeCompletedFuture {
            let pipeline = channel.pipeline.syncOperations
            try pipeline.configureHTTPServerPipeline(
                withPipeliningAssistance: false,
                withErrorHandling: false,
                withOutboundHeaderValidation: false
            )
            let timeout = try? pipeline.handler(type: HeaderTimeout.self)
            try pipeline.addHandler(HTTP1Connection(timeout))
            return try NIOAsyncChannel(
                wrappingChannelSynchronously: channel,
                configuration: .init(isOutboundHalfClosureEnabled: true)
            )
        }
    }

    func handle(value: Value, logger: Logger) async {
        await handleHTTP(asyncChannel: value, logger: logger)
    }

    @concurrent
    private static func serve(
        _ lent: RequestBody,
        _ channel: any Channel,
        _ answer: Answer
    ) async throws {
        let sender = try await HTTP1Sender(channel)
        while let head = try await sender.parts.nextHead() {
            var request = Request(head: head, body: lent)
            request.body = sender.parts.body()
            let response = try await answer(request, channel)
            do {
                try await sender.begin(response.head)
                try await response.body.write(sender)
            } catch is HTTPParserError {
                // It would be answered by a second head.
                throw ChannelError.inputClosed
            }
            if head.headerFields[.connection] == "close" { break }
        }
        try await sender.endInput()
    }
}
#endif
