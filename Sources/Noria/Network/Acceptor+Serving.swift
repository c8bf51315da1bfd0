// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
internal import SystemPackage

/// What becomes of an accepted descriptor: a channel on its loop, and a child task over it.
extension Acceptor {
    /// Accepts until the end and has each connection run by a child task on its loop; returns when
    /// the last has ended.
    ///
    /// What `run` does stands in the frames of every idle connection: another function between it
    /// and the handler can cost each of them a slab of 1 KiB.
    func serve(
        _ run: @escaping @Sendable (StreamChannel) async -> Result<Void, any Error>
    ) async throws {
        guard loop.isHome else {
            return try await loop.bring { try await self.serve(run) }
        }
        isServing = true
        defer { finishServing() }
        try await withThrowingDiscardingTaskGroup { group in
            while let descriptor = try await accept() {
                let home = homes[acceptedCount % homes.count]
                acceptedCount &+= 1
                if home === loop {
                    guard let channel = makeChannel(descriptor, on: loop) else { continue }
                    admit(channel)
                    let preference = homes.count > 1 ? loop.taskExecutor : nil
                    group.addTask(executorPreference: preference) {
                        self.note(await run(channel), of: channel)
                    }
                } else {
                    group.addTask(executorPreference: home.taskExecutor) {
                        guard let channel = self.makeChannel(descriptor, on: home) else { return }
                        await self.loop.bring { self.admit(channel) }
                        self.note(await run(channel), of: channel)
                    }
                }
            }
        }
        try Task.checkCancellation()
    }

    private func note(_ result: Result<Void, any Error>, of channel: StreamChannel) {
        if case .failure(let error) = result { runtime.report(error, on: channel) }
    }

    private func makeChannel(_ descriptor: Int32, on home: EventLoop) -> StreamChannel? {
        do throws(Errno) {
            let channel = try StreamChannel(descriptor, on: home, limits: limits, options: options)
            channel.onClosed = { [self] channel in
                loop.perform { self.channels[channel.id] = nil }
                admission.leave()
            }
            return channel
        } catch {
            // The peer was gone before we looked: ENOTCONN. Nobody is left to be told.
            Descriptor.close(descriptor)
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
