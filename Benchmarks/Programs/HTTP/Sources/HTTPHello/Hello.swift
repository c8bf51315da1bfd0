// SPDX-License-Identifier: Apache-2.0
import NIOCore
import NIOHTTP1
import NIOSSL

/// SwiftNIO's HTTP pipeline with "hello" at its end, whatever the loop is.
enum Hello {
    static let head = HTTPResponseHead(
        version: .http1_1,
        status: .ok,
        headers: ["content-type": "text/plain; charset=utf-8", "content-length": "5"]
    )
    static let body = ByteBuffer(string: "hello")

    static func configure(_ channel: any Channel, _ tls: NIOSSLContext?) throws {
        let pipeline = channel.pipeline.syncOperations
        if let tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls)) }
        try pipeline.configureHTTPServerPipeline(
            withPipeliningAssistance: false,
            withErrorHandling: false
        )
    }

    /// Answers in the pipeline.
    final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            guard case .end = unwrapInboundIn(data) else { return }
            context.write(wrapOutboundOut(.head(Hello.head)), promise: nil)
            context.write(wrapOutboundOut(.body(.byteBuffer(Hello.body))), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            context.close(promise: nil)
        }
    }

    typealias Connection = NIOAsyncChannel<HTTPServerRequestPart, HTTPServerResponsePart>

    /// Answers in a task.
    @Sendable
    static func serve(_ connection: Connection) async {
        try? await connection.executeThenClose { requests, responses in
            for try await part in requests {
                guard case .end = part else { continue }
                try await responses.write(contentsOf: [
                    .head(head), .body(.byteBuffer(body)), .end(nil),
                ])
            }
        }
    }
}
