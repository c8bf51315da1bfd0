// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem
internal import Synchronization
internal import SystemPackage

/// Somebody who waits until no more than `limit` bytes are unsent.
struct OutboundWaiter {
    /// The close, which no cancellation cuts short, and the owner; each waits once at a time.
    static let (closer, owner): (UInt64, UInt64) = (0, 1)
    let id: UInt64
    let limit: Int
    let parked: Parked<Bool>
}

/// The way out: gathered in `filling`, sent once a turn, with marks that hold writers back.
extension StreamChannel {
    var unsentByteCount: Int { bufferedByteCount &+ (outboundFile?.left ?? 0) }

    /// Those that lie in our memory.
    var bufferedByteCount: Int {
        filling.count &+ sending.count &+ (lent?.count ?? 0) &+ (outboundFile?.behind.count ?? 0)
    }

    /// Takes bytes to be sent at the end of this turn.
    ///
    /// Loop thread only.
    func append(_ bytes: UnsafeRawBufferPointer) {
        loop.checkThread()
        guard !bytes.isEmpty else { return }
        talk = .answered
        if isDraining { endIdleRead() }
        gather(bytes)
        noteHeldBack()
        scheduleFlush()
    }

    /// Puts bytes behind all that waits.
    private func gather(_ bytes: UnsafeRawBufferPointer) {
        if let outboundFile { outboundFile.behind.append(bytes) } else { filling.append(bytes) }
    }

    func checkOutbound() throws(NetworkError) {
        if let outboundError { throw outboundError }
        guard phase == .open, !isFinishing else { throw failure(.closed, "write to") }
    }

    func scheduleFlush() {
        guard !isFlushScheduled, sendToken == nil else { return }
        isFlushScheduled = true
        loop.flushAtTurnEnd(self)
    }

    /// Hands what waits to the kernel, unless a send is under way: its end does it then.
    func flushNow() {
        isFlushScheduled = false
        submitUnsent()
        noteHeldBack()
        publishedUnsentByteCount.store(unsentByteCount, ordering: .relaxed)
    }

    private func submitUnsent() {
        while sendToken == nil, phase != .closed, outboundError == nil {
            if sending.isEmpty {
                guard !filling.isEmpty else {
                    guard let outboundFile, sendPiece(of: outboundFile) else { return }
                    continue
                }
                swap(&filling, &sending)
            }
            let unsent = sending.unsent
            guard let start = unsent.baseAddress else { return }
            switch engine.submit(.send(fd, start, count: unsent.count), owner: self) {
            case .pending(let token): sendToken = token
            case .done(let completion): note(completion.result)
            }
        }
    }

    func sent(_ result: Int32) {
        note(result)
        flushNow()
    }

    private func note(_ result: Int32) {
        guard result >= 0 else { return failOutbound(Errno(negated: result)) }
        sending.drop(Int(result))
        if sending.isEmpty { sending.removeAll(keeping: limits.highMarkByteCount) }
        wakeWaiters()
        noteProgress()
    }

    /// Counts a reset, once: the first that reading or writing meets.
    func countReset(_ error: Errno) {
        guard error == .connectionReset || error == .brokenPipe, !wasReset else { return }
        wasReset = true
        loop.count(\.reset)
    }

    func failOutbound(_ error: Errno) {
        guard outboundError == nil else { return }
        countReset(error)
        outboundError = failure(errno: error, "write to")
        if let outboundFile { end(outboundFile, .fail) }
        filling.removeAll()
        sending.removeAll()
        wakeWaiters()
    }

    // MARK: Without a copy

    /// Sends received bytes from the buffer that they came in, and gives it back; what the peer
    /// does not take at once is copied, so that no slow peer holds a buffer.
    ///
    /// Loop thread only.
    @inline(__always)
    func forward(_ completion: Completion) throws(NetworkError) {
        loop.checkThread()
        let bytes = engine.bytes(of: completion)
        guard let buffer = completion.buffer, let start = bytes.baseAddress else { return }
        guard outboundError == nil, phase == .open, !isFinishing else {
            engine.giveBack(buffer)
            return try checkOutbound()
        }
        talk = .answered
        if isDraining { endIdleRead() }
        guard isClear else {
            gather(bytes)
            engine.giveBack(buffer)
            return scheduleFlush()
        }
        lent = (buffer, bytes.count)
        switch engine.submit(.sendNow(fd, start, count: bytes.count), owner: self) {
        case .pending(let token): sendToken = token
        case .done(let completion): sentLent(completion.result)
        }
    }

    /// The reader waits only to forward: then nobody has to be woken for it, as long as all is
    /// plain.
    ///
    /// Returns the completion that the reader has to see itself, or nil when it goes on waiting.
    func forward(_ first: Completion, beforeReaderTo target: StreamChannel) -> Completion? {
        var completion = first
        for _ in 0..<EventLoop.operationsPerJob {
            guard completion.result > 0, !isEnding, interruption == .none, target.isClear else {
                return completion
            }
            talk = .asked
            forwardedByteCount &+= Int(completion.result)
            do { try target.forward(completion) } catch { preconditionFailure("it is clear") }
            switch engine.submit(.receive(fd), owner: self) {
            case .pending(let token):
                receiveToken = token
                return nil
            case .done(let next):
                noteByte()
                completion = next
            }
        }
        // A stream that always has data must not keep the others from their turn.
        return completion
    }

    /// Open, and nothing waits to be sent.
    private var isClear: Bool {
        sendToken == nil && outboundError == nil && phase == .open && !isFinishing
            && filling.isEmpty && sending.isEmpty && outboundFile == nil
    }

    @inline(__always)
    func sentLent(_ result: Int32) {
        guard let (buffer, count) = lent.take() else { return }
        if Int(result) == count {
            engine.giveBack(buffer)
            noteByte()
            if filling.isEmpty, waiters.isEmpty, outboundFile == nil { return }
        } else {
            keepUnsent(of: buffer, count, result)
        }
        if !sending.isEmpty || !filling.isEmpty || outboundFile != nil { flushNow() }
        wakeWaiters()
        if result > 0 { noteProgress() }
    }

    private func keepUnsent(of buffer: BufferID, _ count: Int, _ result: Int32) {
        if result < 0, result != -Errno.resourceTemporarilyUnavailable.rawValue {
            failOutbound(Errno(negated: result))
        } else {
            let sent = max(0, Int(result))
            if sent < count {
                let start = UnsafeRawPointer(engine.buffers.start(of: buffer))
                // It goes before what was written since, which stands in `filling`.
                sending.append(UnsafeRawBufferPointer(start: start + sent, count: count &- sent))
            }
        }
        engine.giveBack(buffer)
    }

    // MARK: Waiting

    /// Waits until at most `limit` bytes are unsent, and throws if they can't be sent any more.
    func waitUntilUnsent(atMost limit: Int) async throws {
        if unsentByteCount > limit, outboundError == nil {
            if Task.isCancelled { throw CancellationError() }
            let wasCancelled: Bool
            if owner == TaskIdentity.current {
                wasCancelled = await withUnsafeContinuation {
                    let (id, parked) = (OutboundWaiter.owner, Parked($0, as: loop.currentRole))
                    waiters.append(OutboundWaiter(id: id, limit: limit, parked: parked))
                    noteHeldBack()
                }
            } else {
                lastWaiter &+= 1
                let id = lastWaiter
                wasCancelled = await loop.park { parked in
                    if unsentByteCount > limit, outboundError == nil, !Task.isCancelled {
                        waiters.append(OutboundWaiter(id: id, limit: limit, parked: parked))
                        noteHeldBack()
                    } else {
                        parked.resume(returning: Task.isCancelled, on: loop)
                    }
                } onCancel: {
                    self.cancelWaiter(id)
                }
            }
            if wasCancelled { throw CancellationError() }
        }
        if let outboundError { throw outboundError }
    }

    func cancelWaiter(_ id: UInt64) {
        guard let index = waiters.firstIndex(where: { $0.id == id }) else { return }
        waiters.remove(at: index).parked.resume(returning: true, on: loop)
        noteHeldBack()
    }

    func wakeWaiters() {
        guard !waiters.isEmpty else { return }
        let unsent = outboundError == nil ? unsentByteCount : 0
        for waiter in waiters where unsent <= waiter.limit {
            waiter.parked.resume(returning: false, on: loop)
        }
        waiters.removeAll { unsent <= $0.limit }
    }
}
