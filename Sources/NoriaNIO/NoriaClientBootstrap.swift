// SPDX-License-Identifier: Apache-2.0
#if NIO
public import NIOCore
internal import Noria
internal import NoriaSystem
internal import SystemPackage

/// Connects channels on Noria's loops, as `ClientBootstrap` does on SwiftNIO's.
///
/// A channel lives on the loop of the caller, where that is one of the group's, else on the next.
public final class NoriaClientBootstrap: NIOClientTCPBootstrapProtocol {
    /// Readies a channel, on its loop.
    public typealias Initializer = @Sendable (any Channel) -> EventLoopFuture<Void>

    private let group: NoriaEventLoopGroup
    private var initializer: Initializer = { $0.eventLoop.makeSucceededVoidFuture() }
    private var handlers: (@Sendable () -> [any ChannelHandler])?
    private var options = ChannelOptions.Storage()

    /// Begins with nothing set.
    public init(group: NoriaEventLoopGroup) { self.group = group }

    /// What each channel is given before it connects; an address that does not answer has had a
    /// channel, too.
    public func channelInitializer(_ handler: @escaping Initializer) -> Self {
        initializer = handler
        return self
    }

    /// What stands in front of the pipeline that the initializer made: TLS, as a rule.
    public func protocolHandlers(
        _ handlers: @escaping @Sendable () -> [any ChannelHandler]
    ) -> Self {
        self.handlers = handlers
        return self
    }

    /// An option of each channel.
    public func channelOption<Option: ChannelOption>(
        _ option: Option,
        value: Option.Value
    ) -> Self {
        options.append(key: option, value: value)
        return self
    }

    /// How long each address may take to answer: 10 s.
    public func connectTimeout(_ timeout: TimeAmount) -> Self {
        channelOption(.connectTimeout, value: timeout)
    }

    /// Connects to a literal, or to the first address of a name that answers.
    ///
    /// Fails with Noria's `NetworkError` when the name has no address, else with what the last
    /// address said: an `IOError`, or `ChannelError.connectTimeout`.
    public func connect(host: String, port: Int) -> EventLoopFuture<any Channel> {
        connect(host: host, port: port) { $0.eventLoop.makeSucceededFuture($0) }
    }

    /// Connects to an address.
    public func connect(to address: NIOCore::SocketAddress) -> EventLoopFuture<any Channel> {
        connect(to: address, on: loop()) { $0.eventLoop.makeSucceededFuture($0) }
    }

    /// Connects to a Unix socket.
    public func connect(unixDomainSocketPath: String) -> EventLoopFuture<any Channel> {
        do {
            return connect(
                to: try NIOCore::SocketAddress(unixDomainSocketPath: unixDomainSocketPath)
            )
        } catch {
            return group.next().makeFailedFuture(error)
        }
    }

    /// Connects; what the initializer makes of the channel is the value, a `NIOAsyncChannel` say.
    ///
    /// - Throws: as `connect(host:port:)` fails, or what the initializer fails with.
    public func connect<Output: Sendable>(
        host: String,
        port: Int,
        channelInitializer: @escaping @Sendable (any Channel) -> EventLoopFuture<Output>
    ) async throws -> Output {
        try await connect(host: host, port: port, making: channelInitializer).get()
    }

    /// The same for an address.
    public func connect<Output: Sendable>(
        to address: NIOCore::SocketAddress,
        channelInitializer: @escaping @Sendable (any Channel) -> EventLoopFuture<Output>
    ) async throws -> Output {
        try await connect(to: address, on: loop(), making: channelInitializer).get()
    }

    /// The same for a Unix socket.
    public func connect<Output: Sendable>(
        unixDomainSocketPath: String,
        channelInitializer: @escaping @Sendable (any Channel) -> EventLoopFuture<Output>
    ) async throws -> Output {
        try await connect(
            to: try NIOCore::SocketAddress(unixDomainSocketPath: unixDomainSocketPath),
            channelInitializer: channelInitializer
        )
    }

    // MARK: The way

    private func loop() -> NoriaEventLoop { group.all.first { $0.inEventLoop } ?? group.nextLoop() }

    private func connect<Output: Sendable>(
        host: String,
        port: Int,
        making make: @escaping @Sendable (any Channel) -> EventLoopFuture<Output>
    ) -> EventLoopFuture<Output> {
        let loop = loop()
        if let literal = try? NIOCore::SocketAddress(ipAddress: host, port: port) {
            return connect(to: literal, on: loop, making: make)
        }
        let attempts = Attempts(self, loop, make)
        let resolver = group.runtime.resolver
        return loop.makeFutureWithTask {
            try await resolver.addresses(of: host, port: port)
                .compactMap { $0.nioAddress }
        }.flatMap { attempts.connect(to: $0[...]) }
    }

    /// The addresses of a name, one after the other.
    private struct Attempts<Output: Sendable>: Sendable {
        let connect: @Sendable (NIOCore::SocketAddress) -> EventLoopFuture<Output>
        let loop: NoriaEventLoop

        init(
            _ bootstrap: NoriaClientBootstrap,
            _ loop: NoriaEventLoop,
            _ make: @escaping @Sendable (any Channel) -> EventLoopFuture<Output>
        ) {
            let recipe = bootstrap.recipe
            self.loop = loop
            connect = { recipe.connect(to: $0, on: loop, making: make) }
        }

        func connect(to addresses: ArraySlice<NIOCore::SocketAddress>) -> EventLoopFuture<Output> {
            guard let first = addresses.first else {
                return loop.makeFailedFuture(ChannelError.unknownLocalAddress)
            }
            let rest = addresses.dropFirst()
            return connect(first).flatMapError { error in
                rest.isEmpty ? loop.makeFailedFuture(error) : connect(to: rest)
            }
        }
    }

    private func connect<Output: Sendable>(
        to address: NIOCore::SocketAddress,
        on loop: NoriaEventLoop,
        making make: @escaping @Sendable (any Channel) -> EventLoopFuture<Output>
    ) -> EventLoopFuture<Output> {
        recipe.connect(to: address, on: loop, making: make)
    }

    private var recipe: Recipe {
        Recipe(initializer: initializer, handlers: handlers, options: options)
    }

    /// What was set, as a value that other threads may have.
    private struct Recipe: Sendable {
        let initializer: Initializer
        let handlers: (@Sendable () -> [any ChannelHandler])?
        let options: ChannelOptions.Storage

        func connect<Output: Sendable>(
            to address: NIOCore::SocketAddress,
            on loop: NoriaEventLoop,
            making make: @escaping @Sendable (any Channel) -> EventLoopFuture<Output>
        ) -> EventLoopFuture<Output> {
            if loop.inEventLoop { return connectHere(to: address, on: loop, making: make) }
            return loop.flatSubmit { connectHere(to: address, on: loop, making: make) }
        }

        private func connectHere<Output: Sendable>(
            to address: NIOCore::SocketAddress,
            on loop: NoriaEventLoop,
            making make: @escaping @Sendable (any Channel) -> EventLoopFuture<Output>
        ) -> EventLoopFuture<Output> {
            let channel: StreamSocketChannel
            do {
                guard let storage = SocketStorage(address) else {
                    throw ChannelError.operationUnsupported
                }
                channel = try StreamSocketChannel.client(to: storage, on: loop)
            } catch {
                let error = (error as? Errno)?.nioError("socket") ?? error
                return loop.makeFailedFuture(error)
            }
            return options.applyAllChannelOptions(to: channel).flatMap {
                initializer(channel)
            }.flatMapThrowing {
                guard let handlers else { return }
                try channel.pipeline.syncOperations.addHandlers(handlers(), position: .first)
            }.flatMap {
                make(channel)
            }.flatMap { output in
                channel.register().flatMap { channel.connect(to: address) }.map { output }
            }.flatMapError { error in
                // The error is the one that came first.
                channel.close().recover { _ in }.flatMapThrowing { throw error }
            }
        }
    }
}
#endif
