// SPDX-License-Identifier: Apache-2.0
#if NIO
internal import NIOCore

/// What a listening channel and a connection have in common.
protocol SocketChannel: Channel, ChannelCore {
    var noria: NoriaEventLoop { get }
    /// Made as the channel is, and with it: each names the other.
    var madePipeline: ChannelPipeline? { get }
    var options: any NIOSynchronousChannelOptions { get }
}

extension SocketChannel {
    var eventLoop: any NIOCore::EventLoop { noria }
    var pipeline: ChannelPipeline {
        guard let madePipeline else { preconditionFailure("a channel is made with its pipeline") }
        return madePipeline
    }
    var allocator: ByteBufferAllocator { ByteBufferAllocator() }
    var _channelCore: any ChannelCore { self }
    var syncOptions: (any NIOSynchronousChannelOptions)? { options }

    func localAddress0() throws -> NIOCore::SocketAddress {
        guard let localAddress else { throw ChannelError.unknownLocalAddress }
        return localAddress
    }

    func remoteAddress0() throws -> NIOCore::SocketAddress {
        guard let remoteAddress else { throw ChannelError.operationUnsupported }
        return remoteAddress
    }

    func setOption<Option: ChannelOption>(
        _ option: Option,
        value: Option.Value
    ) -> EventLoopFuture<Void> {
        noria.perform { try self.options.setOption(option, value: value) }
    }

    func getOption<Option: ChannelOption>(_ option: Option) -> EventLoopFuture<Option.Value> {
        noria.perform { try self.options.getOption(option) }
    }

    func triggerUserOutboundEvent0(_ event: Any, promise: EventLoopPromise<Void>?) {
        promise?.fail(ChannelError.operationUnsupported)
    }

    // What nobody took.
    func channelRead0(_ data: NIOAny) {}
    func errorCaught0(error: any Error) {}
}

extension NoriaEventLoop {
    /// Done at once on the loop, else as soon as it comes to it.
    fileprivate func perform<Value: Sendable>(
        _ body: @escaping @Sendable () throws -> Value
    ) -> EventLoopFuture<Value> {
        inEventLoop ? makeCompletedFuture(withResultOf: body) : submit(body)
    }
}
#endif
