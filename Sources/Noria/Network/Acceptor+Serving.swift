// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
internal import ServiceLifecycle
internal import SystemPackage

/// What becomes of an accepted descriptor: a channel on its loop, and a child task over it.
extension Acceptor {
    /// Accepts until the end and runs `handler` for each connection in a child task on its loop;
    /// returns when the last has ended.
    ///
    /// In a service it drains when the service is told to. `make` is the face that the handler sees: a closure around the handler would be one more
    /// frame of each idle connection's task.
    func serve<Connection: StreamConnection>(
        as make: @escaping @Sendable (StreamChannel) -> Connection,
        _ handler: @escaping @Sendable (Connection) async throws -> Void
    ) async throws {
        guard loop.isHome else {
            return try await loop.bring { try await self.serve(as: make, handler) }
        }
        guard !isServing else {
            throw NetworkError(
                .other,
                "accept on",
                address: localAddress,
                advice: "this listener is served already; one 'serve' at a time"
            )
        }
        isServing = true
        defer { finishServing() }
        runtime.noteServing()
        try await withGracefulShutdownHandler {
            try await acceptAll(as: make, handler)
        } onGracefulShutdown: { [self] in
            loop.perform { self.beginDrain() }
        }
    }

    private func acceptAll<Connection: StreamConnection>(
        as make: @escaping @Sendable (StreamChannel) -> Connection,
        _ handler: @escaping @Sendable (Connection) async throws -> Void
    ) async throws {
        try await withThrowingDiscardingTaskGroup { group in
            while let descriptor = try await accept() {
                let home = homes[acceptedCount % homes.count]
                acceptedCount &+= 1
                if home === loop {
                    guard let channel = makeChannel(descriptor, on: loop) else { continue }
                    admit(channel)
                    let preference = homes.count > 1 ? loop.taskExecutor : nil
                    group.addTask(executorPreference: preference) {
                        await self.run(make(channel), channel, handler)
                    }
                } else {
                    group.addTask(executorPreference: home.taskExecutor) {
                        guard let channel = self.makeChannel(descriptor, on: home) else { return }
                        await self.loop.bring { self.admit(channel) }
                        await self.run(make(channel), channel, handler)
                    }
                }
            }
        }
        try Task.checkCancellation()
    }

    private func run<Connection: StreamConnection>(
        _ connection: Connection,
        _ channel: StreamChannel,
        _ handler: @Sendable (Connection) async throws -> Void
    ) async {
        do {
            try await channel.run {
                if proxyProtocol == .required {
                    guard try await channel.readProxyHeader(runtime) else {
                        return channel.loop.perform { channel.loop.count(\.refused) }
                    }
                }
                try await handler(connection)
            }
        } catch {
            runtime.uncaughtErrors.take(error, of: channel)
        }
    }

    private func makeChannel(_ descriptor: Int32, on home: EventLoop) -> StreamChannel? {
        do throws(Errno) {
            let channel = try StreamChannel(descriptor, on: home, limits: limits, options: options)
            home.count(\.accepted)
            channel.onClosed = { [self] channel in
                loop.perform { self.channels[channel.id] = nil }
                admission.leave()
            }
            return channel
        } catch {
            // The peer was gone before we looked: ENOTCONN. Nobody is left to be told.
            Descriptor.close(descriptor)
            home.count(\.refused)
            admission.leave()
            return nil
        }
    }

    /// Has a new connection drained and aborted with the others.
    private func admit(_ channel: StreamChannel) {
        channels[channel.id] = channel
        if isDraining { channel.loop.perform { channel.drain() } }
        if isAborted { channel.abort() }
    }
}
