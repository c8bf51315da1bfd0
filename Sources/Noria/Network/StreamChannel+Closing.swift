// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem
internal import SystemPackage

/// The end of a connection: in order, so that no answer on its way is eaten by a reset.
extension StreamChannel {
    /// Runs a handler over the connection and closes it, whatever the handler does.
    func run<Value>(_ body: () async throws -> Value) async throws -> Value {
        // A task that runs elsewhere brings its cancellation with each operation.
        if loop.isCurrent { owner = TaskIdentity.current }
        let result: Result<Value, any Error>
        do {
            result = .success(
                try await withTaskCancellationHandler {
                    try await body()
                } onCancel: {
                    loop.post { self.ownerCancelled() }
                }
            )
        } catch {
            result = .failure(error)
        }
        // It may have come home late, to another thread.
        loop.perform { self.owner = nil }
        await close()
        return try result.get()
    }

    /// Whoever waits in a call of the owner's goes on; later calls look for themselves.
    private func ownerCancelled() {
        guard owner != nil else { return }
        ownerIsCancelled = true
        interruptReader(.cancelled)
        cancelWaiters()
    }

    /// Sends what waits, ends our direction, waits for the peer's end, closes.
    ///
    /// Idempotent: a second caller waits for the first.
    func close() async {
        guard loop.isHome else {
            return await loop.bring { await self.close() }
        }
        switch phase {
        case .closed: return
        case .closing:
            return await withUnsafeContinuation {
                closeWaiters.append(Parked($0, as: loop.currentRole))
            }
        case .open: break
        }
        // Before the first wait: another task that closes meanwhile must wait, not do it again.
        phase = .closing
        endTimeouts()
        await waitUntilSent()
        let linger = LingerTimer(self)
        defer { linger.end() }
        if reader != nil { await endForeignRead() }
        if outboundError == nil { try? Socket.shutDownWriting(fd) }
        await readUntilPeerEnds(linger)
        await waitUntilLetGo()
        finishClosing()
    }

    /// Ends our direction; whoever writes from now on is told so.
    ///
    /// Loop thread only.
    func finishOutbound() {
        guard phase == .open, outboundError == nil else { return }
        outboundError = failure(.closed, "write to")
        try? Socket.shutDownWriting(fd)
        // Whoever waits to write more is told.
        releaseWaiters()
    }

    /// A reset, now: whatever waits to be sent is dropped.
    ///
    /// Any thread.
    func abort() { loop.perform { self.abort(with: nil) } }

    /// The same; `reason` is what reading and writing throw from now on, else that it is closed.
    ///
    /// Loop thread only.
    func abort(with reason: NetworkError?) {
        guard phase != .closed else { return }
        endTimeouts()
        switch inboundEnd {
        case .end, .failed: break
        case nil, .timedOut: inboundEnd = .failed(reason ?? failure(.closed, "read from"))
        }
        if outboundError == nil { outboundError = reason ?? failure(.closed, "write to") }
        endNow()
        filling.removeAll()
        interruptReader(.closed)
        if let sendToken { engine.cancel(sendToken) }
        releaseWaiters()
    }

    /// Tells the peer now, for the handler may go on for long.
    ///
    /// By a reset, for which in a Unix stream only the end can stand; where the kernel can't send it
    /// yet the close does. DESIGN §6.
    private func endNow() {
        guard !peerAddress.isUnix else {
            try? Socket.shutDown(fd)
            return
        }
        try? Socket.set(.linger, to: 0, on: fd)
        try? Socket.reset(fd)
    }

    private func releaseWaiters() {
        for waiter in waiters { waiter.parked.resume(returning: false, on: loop) }
        waiters = []
    }

    /// Waits, even when cancelled, until everything is sent or can't be, or the peer has taken
    /// nothing for long.
    private func waitUntilSent() async {
        flushNow()
        guard unsentByteCount > 0, outboundError == nil else { return }
        let patience = Task.isCancelled ? limits.lingerTimeout : limits.writeTimeout ?? .seconds(30)
        let stall = StallTimer(self, patience)
        defer { stall.end() }
        let id = OutboundWaiter.closer
        _ = await withUnsafeContinuation {
            waiters.append(
                OutboundWaiter(id: id, limit: 0, parked: Parked($0, as: loop.currentRole))
            )
        }
    }

    /// Another task still reads: it is told that the stream is closed.
    private func endForeignRead() async {
        interruptReader(.closed)
        while receiveToken != nil { await waitForCompletion() }
    }

    private func readUntilPeerEnds(_ linger: LingerTimer) async {
        // After a time-out the peer may still send: a reset now could eat our last word.
        if case .timedOut = inboundEnd { inboundEnd = nil }
        while true {
            await loop.standBackWhenSpent()
            guard inboundEnd == nil, !linger.isOver else { return }
            let completion: Completion
            switch engine.submit(.receive(fd), owner: self) {
            case .done(let done):
                completion = done
                // A peer that never stops must not keep the loop, nor the timer from its turn.
                loop.countOperation()
            case .pending(let token):
                receiveToken = token
                completion = await withUnsafeContinuation {
                    reader = Parked($0, as: loop.currentRole)
                }
            }
            guard completion.result > 0 else { return }
            if let buffer = completion.buffer { engine.giveBack(buffer) }
        }
    }

    /// The kernel may still read from our memory: the close waits for its last word.
    private func waitUntilLetGo() async {
        if let sendToken { engine.cancel(sendToken) }
        while sendToken != nil { await waitForCompletion() }
    }

    private func waitForCompletion() async {
        await withUnsafeContinuation { completionWaiter = Parked($0, as: loop.currentRole) }
    }

    private func finishClosing() {
        engine.backend.deregister(fd)
        Descriptor.close(fd)
        phase = .closed
        loop.countConnection(-1)
        filling.removeAll()
        sending.removeAll()
        for waiter in closeWaiters { waiter.resume(returning: (), on: loop) }
        closeWaiters = []
        onClosed?(self)
        onClosed = nil
    }
}

/// Aborts a close whose peer takes none of what is unsent for a while: the write time-out, or 30 s;
/// in a cancelled task the linger time.
private final class StallTimer: TimerOwner {
    private let channel: StreamChannel
    private var id: TimerID?
    private let patience: Duration
    private var unsentByteCount: Int

    init(_ channel: StreamChannel, _ patience: Duration) {
        self.channel = channel
        self.patience = patience
        unsentByteCount = channel.unsentByteCount
        arm()
    }

    private func arm() {
        let deadline = MonotonicClock.now &+ UInt64(patience.nanoseconds)
        id = channel.loop.timers.add(deadline: deadline, owner: self)
    }

    func end() {
        if let id = id.take() { channel.loop.timers.cancel(id) }
    }

    func timerFired(_ context: UInt) {
        id = nil
        guard channel.unsentByteCount < unsentByteCount else { return channel.abort() }
        unsentByteCount = channel.unsentByteCount
        arm()
    }
}

/// How long the peer's end is waited for, when all is sent.
private final class LingerTimer: TimerOwner {
    private let channel: StreamChannel
    private var id: TimerID?
    private(set) var isOver = false

    init(_ channel: StreamChannel) {
        self.channel = channel
        let length = UInt64(channel.limits.lingerTimeout.nanoseconds)
        id = channel.loop.timers.add(deadline: MonotonicClock.now &+ length, owner: self)
    }

    func end() {
        if let id = id.take() { channel.loop.timers.cancel(id) }
    }

    func timerFired(_ context: UInt) {
        id = nil
        isOver = true
        channel.interruptReader(.lingered)
    }
}
