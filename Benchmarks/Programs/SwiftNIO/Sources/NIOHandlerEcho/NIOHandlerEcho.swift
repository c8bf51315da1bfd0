// SPDX-License-Identifier: Apache-2.0
import Listening
import NIOCore
import NIOPosix

/// The handler of SwiftNIO's own echo example: it writes what it reads, and flushes once at the
/// end of a look at the socket.
final class EchoHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        context.write(data, promise: nil)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        context.flush()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}

/// SwiftNIO with channel handlers: all work is done on the one loop's thread.
@main struct NIOHandlerEcho {
    static func main() throws {
        let (host, port) = Listening.address()
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let listener = try Listening.bootstrap(group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    // Reading stops while the socket takes nothing.
                    try channel.pipeline.syncOperations.addHandler(BackPressureHandler())
                    try channel.pipeline.syncOperations.addHandler(EchoHandler())
                }
            }
            .bind(host: host, port: port).wait()
        Listening.announce(listener, backend: "nio-handler")
        try listener.closeFuture.wait()
    }
}
