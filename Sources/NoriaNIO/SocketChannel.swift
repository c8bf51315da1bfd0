// SPDX-License-Identifier: Apache-2.0
#if NIO
internal import NIOCore
internal import Noria
internal import SystemPackage

/// What a listening channel and a connection have in common.
protocol SocketChannel: Channel, ChannelCore, SocketOptionProvider {
    var noria: NoriaEventLoop { get }
    /// Made as the channel is, and with it: each names the other.
    var madePipeline: ChannelPipeline? { get }
    var options: any NIOSynchronousChannelOptions { get }
    /// Sets an option of the socket's, or keeps it for the socket that there will be.
    func setSocketOption(_ name: SocketOptionKey, to value: [UInt8]) throws
    /// Reads one into memory.
    func getSocketOption(_ name: SocketOptionKey, into value: UnsafeMutableRawBufferPointer) throws
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
        noria.future { try self.options.setOption(option, value: value) }
    }

    func getOption<Option: ChannelOption>(_ option: Option) -> EventLoopFuture<Option.Value> {
        noria.future { try self.options.getOption(option) }
    }

    func triggerUserOutboundEvent0(_ event: Any, promise: EventLoopPromise<Void>?) {
        promise?.fail(ChannelError.operationUnsupported)
    }

    // What nobody took.
    func channelRead0(_ data: NIOAny) {}

    /// A reset is counted as one, and no news.
    func errorCaught0(error: any Error) {
        if (error as? IOError)?.isReset == true { return }
        noria.runtime.noteUnhandled(error, of: "SwiftNIO channel \(name)", on: noria.loop)
    }

    private var name: String {
        (remoteAddress ?? localAddress).map { "\($0)" } ?? "that is not connected"
    }
}

extension IOError {
    /// The peer is gone, or the network has cut it off.
    var isReset: Bool {
        let error = Errno(rawValue: errnoCode)
        return error == .connectionReset || error == .brokenPipe
    }
}

extension Errno {
    /// The same as SwiftNIO's handlers know it.
    func nioError(_ reason: String) -> IOError { IOError(errnoCode: rawValue, reason: reason) }
}

extension NoriaEventLoop {
    /// Done at once on the loop, else as soon as it comes to it.
    func future<Value: Sendable>(
        _ body: @escaping @Sendable () throws -> Value
    ) -> EventLoopFuture<Value> {
        inEventLoop ? makeCompletedFuture(withResultOf: body) : submit(body)
    }
}
#endif
