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

    /// Where the owner waits it goes on, and no other task; later calls look for themselves.
    private func ownerCancelled() {
        guard owner != nil else { return }
        ownerIsCancelled = true
        if isOwnerReading { interruptReader(.cancelled) }
        cancelWaiter(OutboundWaiter.owner)
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
        // From here on the peer's end is waited for.
        let linger = StreamTimer(lingerTime, on: loop) { [self] in
            interruptReader(.lingered)
            return nil
        }
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
        loop.checkThread()
        guard phase == .open, outboundError == nil else { return }
        outboundError = failure(.closed, "write to")
        try? Socket.shutDownWriting(fd)
    }

    /// A reset, now: whatever waits to be sent is dropped.
    ///
    /// Any thread.
    func abort() { loop.perform { self.abort(with: nil) } }

    /// The same; `reason` is what reading and writing throw from now on, else that it is closed.
    ///
    /// Loop thread only.
    func abort(with reason: NetworkError?) {
        loop.checkThread()
        guard phase != .closed else { return }
        endTimeouts()
        switch inboundEnd {
        case .end, .failed: break
        case nil, .timedOut, .drained: inboundEnd = .failed(reason ?? failure(.closed, "read from"))
        }
        if outboundError == nil { outboundError = reason ?? failure(.closed, "write to") }
        endNow()
        if let outboundFile { end(outboundFile, .fail) }
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
        guard !socketPeer.isUnix else {
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
    /// nothing for the write time-out, or 30 s; in a cancelled task for the linger time.
    private func waitUntilSent() async {
        flushNow()
        guard unsentByteCount > 0, outboundError == nil else { return }
        let patience = Task.isCancelled ? limits.lingerTimeout : limits.writeTimeout ?? .seconds(30)
        var before = unsentByteCount
        let stall = StreamTimer(patience, on: loop) { [self] in
            guard unsentByteCount < before else {
                abort()
                return nil
            }
            before = unsentByteCount
            return patience
        }
        defer { stall.end() }
        let _: Bool = await withUnsafeContinuation {
            let parked = Parked($0, as: loop.currentRole)
            waiters.append(OutboundWaiter(id: OutboundWaiter.closer, limit: 0, parked: parked))
        }
    }

    /// Another task still reads: it is told that the stream is closed.
    private func endForeignRead() async {
        interruptReader(.closed)
        while receiveToken != nil { await waitForCompletion() }
    }

    /// A peer that was idle at a drain owes us nothing: what it sent before it heard of the end is
    /// here within a round trip, and a shutdown does not wait for it as long as for an answer's way.
    private var lingerTime: Duration {
        if case .drained = inboundEnd { limits.lingerTimeout / 2 } else { limits.lingerTimeout }
    }

    private func readUntilPeerEnds(_ linger: StreamTimer) async {
        switch inboundEnd {
        // The peer may still send: a reset now could eat our last word, or meet its next request.
        case .timedOut, .drained: inboundEnd = nil
        case .end, .failed, nil: break
        }
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
                completion = await suspendReader()
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
