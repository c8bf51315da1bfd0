// SPDX-License-Identifier: Apache-2.0
#if NIO
public import NIOCore
internal import Noria
internal import NoriaSystem

/// Makes listening channels on Noria's loops, as `ServerBootstrap` does on SwiftNIO's.
///
/// Connections live on the group's loops in turn. A shutdown of the runtime drains each listening
/// channel: it is closed, its connections are told by a `ChannelShouldQuiesceEvent`, as
/// `ServerQuiescingHelper` tells them, and those that have not closed by themselves when the drain
/// is over are closed.
public final class NoriaServerBootstrap {
    /// Readies a channel, on its loop.
    public typealias Initializer = @Sendable (any Channel) -> EventLoopFuture<Void>

    private let group: NoriaEventLoopGroup
    private var serverInitializer: Initializer = { $0.eventLoop.makeSucceededVoidFuture() }
    private var childInitializer: Initializer = { $0.eventLoop.makeSucceededVoidFuture() }
    private var serverOptions = ChannelOptions.Storage()
    private var childOptions = ChannelOptions.Storage()

    /// Begins with nothing set.
    public init(group: NoriaEventLoopGroup) { self.group = group }

    /// What the listening channel is given before it binds.
    public func serverChannelInitializer(_ initializer: @escaping Initializer) -> Self {
        serverInitializer = initializer
        return self
    }

    /// What each accepted channel is given before it becomes active.
    public func childChannelInitializer(_ initializer: @escaping Initializer) -> Self {
        childInitializer = initializer
        return self
    }

    /// An option of the listening channel.
    public func serverChannelOption<Option: ChannelOption>(
        _ option: Option,
        value: Option.Value
    ) -> Self {
        serverOptions.append(key: option, value: value)
        return self
    }

    /// An option of each accepted channel.
    public func childChannelOption<Option: ChannelOption>(
        _ option: Option,
        value: Option.Value
    ) -> Self {
        childOptions.append(key: option, value: value)
        return self
    }

    /// Binds an IP literal, and accepts from then on; port 0 takes a free one.
    ///
    /// Fails with `SocketAddressError`, or an `IOError`.
    public func bind(host: String, port: Int) -> EventLoopFuture<any Channel> {
        do {
            return bind(to: try NIOCore::SocketAddress(ipAddress: host, port: port))
        } catch {
            return group.next().makeFailedFuture(error)
        }
    }

    /// The same for a path; as with SwiftNIO the path stays when the channel is closed.
    ///
    /// With `cleanupExistingSocketFile` a socket that is there is removed before, whoever listens.
    public func bind(
        unixDomainSocketPath path: String,
        cleanupExistingSocketFile: Bool = false
    ) -> EventLoopFuture<any Channel> {
        do {
            return bind(to: try Self.address(path, cleanupExistingSocketFile))
        } catch {
            return group.next().makeFailedFuture(error)
        }
    }

    private static func address(
        _ path: String,
        _ removesSocket: Bool
    ) throws -> NIOCore::SocketAddress {
        let address = try NIOCore::SocketAddress(unixDomainSocketPath: path)
        if removesSocket, let storage = SocketStorage(address),
            let file = try? SocketFile.find(storage), file.kind == .socket
        {
            try SocketFile.remove(storage)
        }
        return address
    }

    /// The same for an address.
    public func bind(to address: NIOCore::SocketAddress) -> EventLoopFuture<any Channel> {
        let initializer = childInitializer
        return listen(at: address) { channel, options in
            try channel.pipeline.syncOperations.addHandler(
                AcceptHandler(channel, options, initializer),
                name: "noria accept"
            )
            return channel as any Channel
        }
    }

    /// Binds; the accepted channels, as `childChannelInitializer` has made them, are the inbound
    /// stream of what is returned.
    ///
    /// - Throws: `SocketAddressError`, or an `IOError`.
    public func bind<Output: Sendable>(
        host: String,
        port: Int,
        serverBackPressureStrategy: NIOAsyncSequenceProducerBackPressureStrategies
            .HighLowWatermark? = nil,
        childChannelInitializer: @escaping @Sendable (any Channel) -> EventLoopFuture<Output>
    ) async throws -> NIOAsyncChannel<Output, Never> {
        try await bind(
            to: try NIOCore::SocketAddress(ipAddress: host, port: port),
            serverBackPressureStrategy: serverBackPressureStrategy,
            childChannelInitializer: childChannelInitializer
        )
    }

    /// The same for a path.
    public func bind<Output: Sendable>(
        unixDomainSocketPath path: String,
        cleanupExistingSocketFile: Bool = false,
        serverBackPressureStrategy: NIOAsyncSequenceProducerBackPressureStrategies
            .HighLowWatermark? = nil,
        childChannelInitializer: @escaping @Sendable (any Channel) -> EventLoopFuture<Output>
    ) async throws -> NIOAsyncChannel<Output, Never> {
        try await bind(
            to: try Self.address(path, cleanupExistingSocketFile),
            serverBackPressureStrategy: serverBackPressureStrategy,
            childChannelInitializer: childChannelInitializer
        )
    }

    /// The same for an address.
    public func bind<Output: Sendable>(
        to address: NIOCore::SocketAddress,
        serverBackPressureStrategy: NIOAsyncSequenceProducerBackPressureStrategies
            .HighLowWatermark? = nil,
        childChannelInitializer: @escaping @Sendable (any Channel) -> EventLoopFuture<Output>
    ) async throws -> NIOAsyncChannel<Output, Never> {
        try await listen(at: address) { channel, options in
            try channel.pipeline.syncOperations.addHandler(
                AcceptHandler(channel, options, nil),
                name: "noria accept"
            )
            return try NIOAsyncChannel._wrapAsyncChannelWithTransformations(
                wrappingChannelSynchronously: channel,
                backPressureStrategy: serverBackPressureStrategy
            ) { child in
                // Its value has a place as long as the listening channel is open.
                channel.beginHandingOn()
                let made = child.eventLoop.flatSubmit {
                    childChannelInitializer(child).map { output in
                        child.begin()
                        return output
                    }
                }
                let here = made.hop(to: channel.eventLoop)
                here.whenComplete { _ in channel.endHandingOn() }
                return here
            }
        }.get()
    }

    private func listen<Value: Sendable>(
        at address: NIOCore::SocketAddress,
        _ ready: @escaping @Sendable (ServerSocketChannel, ChannelOptions.Storage) throws -> Value
    ) -> EventLoopFuture<Value> {
        let (group, options, childOptions) = (group, serverOptions, childOptions)
        let (loop, initializer) = (group.nextLoop(), serverInitializer)
        let isInService = ServiceScope.isInService
        return loop.flatSubmit {
            let channel = ServerSocketChannel(on: loop, homes: group.all)
            return options.applyAllChannelOptions(to: channel).flatMap {
                initializer(channel)
            }.flatMapThrowing {
                try channel.pipeline.syncOperations.addHandler(
                    QuiescingHandler(channel, group.runtime, isInService: isInService),
                    name: "noria quiescing"
                )
                return try ready(channel, childOptions)
            }.flatMap { value in
                channel.register().flatMap { channel.bind(to: address) }.map {
                    group.runtime.noteServing()
                    return value
                }
            }.flatMapError { error in
                // What was begun is given back; the error is the one that came first.
                channel.close().recover { _ in }.flatMapThrowing { throw error }
            }
        }
    }
}

/// Readies what was accepted, and sets it going unless whoever reads the channels does that.
private final class AcceptHandler: ChannelInboundHandler {
    typealias InboundIn = any Channel
    typealias InboundOut = any Channel

    private let listening: ServerSocketChannel
    private let options: ChannelOptions.Storage
    private let initializer: NoriaServerBootstrap.Initializer?

    init(
        _ listening: ServerSocketChannel,
        _ options: ChannelOptions.Storage,
        _ initializer: NoriaServerBootstrap.Initializer?
    ) {
        self.listening = listening
        self.options = options
        self.initializer = initializer
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let channel = unwrapInboundIn(data)
        let readied = options.applyAllChannelOptions(to: channel)
        guard let initializer else {
            context.fireChannelRead(data)
            return
        }
        readied.flatMap { initializer(channel) }.whenComplete { [listening] result in
            switch result {
            case .success: channel.begin()
            case .failure(let error):
                channel.close(promise: nil)
                listening.pipeline.fireErrorCaught(error)
            }
        }
        context.fireChannelRead(data)
    }

    /// As SwiftNIO's own, on which `ServerQuiescingHelper` stands: whoever waits is let in first.
    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ChannelShouldQuiesceEvent { listening.stopAccepting() }
        context.fireUserInboundEventTriggered(event)
    }
}

extension Channel {
    /// Registers what was accepted, and makes it active.
    fileprivate func begin() {
        guard let channel = self as? StreamSocketChannel else { return }
        guard eventLoop.inEventLoop else { return eventLoop.execute { channel.begin() } }
        channel.registerAlreadyConfigured0(promise: nil)
    }
}
#endif
