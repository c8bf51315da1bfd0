// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem

/// The time-outs of a stream, without a task: see `StreamLimits`.
///
/// The channel is the timers' owner. Idle and read time-outs end the inbound stream, and leave the
/// way out for a last word; where nothing can get out any more the connection ends by a reset.
extension StreamChannel: TimerOwner {
    /// A byte came or went.
    @inline(__always)
    func noteByte() { timing?.timeouts.noteByte(loop.now) }

    /// Notes in `began` when a reading form first found a message's beginning in hand, and not its
    /// end.
    func noteMessage(_ began: inout UInt64?) {
        if timing != nil, began == nil, !unread.isEmpty { began = loop.now }
    }

    /// A reader waits for the rest of a message that began then.
    func beginWait(forMessageSince began: UInt64) {
        timing?.timeouts.beginWait(forMessageSince: began)
        arm(.read)
    }

    /// Looks whether writers are held back, and times it if they are.
    @inline(__always)
    func noteHeldBack() {
        guard timing != nil else { return }
        timing?.timeouts.noteHeldBack(loop.now, isHeldBack)
        arm(.write)
    }

    /// Bytes went out, and whoever waited for that has been woken.
    @inline(__always)
    func noteProgress() {
        guard timing != nil else { return }
        timing?.timeouts.noteProgress(loop.now, isHeldBack)
    }

    private var isHeldBack: Bool {
        // While a disk is waited for the peer has nothing to take.
        if let outboundFile { return sendToken != nil || !outboundFile.isBeingRead }
        return !waiters.isEmpty || unsentByteCount > limits.highMarkByteCount
    }

    /// Sets the timer of a time-out that runs, unless it is set: it will look for itself.
    func arm(_ kind: StreamTimeouts.Kind) {
        guard let timing, timing.timers[Int(kind.rawValue)] == nil,
            let deadline = timing.timeouts.deadline(of: kind)
        else { return }
        set(kind, deadline)
    }

    private func set(_ kind: StreamTimeouts.Kind, _ deadline: UInt64) {
        timing?.timers[Int(kind.rawValue)] = loop.timers.add(
            deadline: deadline,
            owner: self,
            context: kind.rawValue
        )
    }

    func timerFired(_ context: UInt) {
        guard let kind = StreamTimeouts.Kind(rawValue: context) else { return }
        timing?.timers[Int(context)] = nil
        guard phase == .open, let deadline = timing?.timeouts.deadline(of: kind) else { return }
        if deadline > loop.now { return set(kind, deadline) }
        expire(kind)
    }

    private func expire(_ kind: StreamTimeouts.Kind) {
        switch kind {
        case .idle:
            guard isAboutToReceive || unsentByteCount == 0 else {
                return abort(with: timedOut(kind))
            }
            if isAboutToReceive { noteByte() } else { endInbound(by: kind) }
            // Bytes may still be faster than the end.
            if let length = limits.idleTimeout {
                set(.idle, loop.now &+ UInt64(length.nanoseconds))
            }
        case .read:
            // With no reader in a wait it is ours to go on, not the peer's.
            guard reader != nil else { return }
            if isAboutToReceive { return set(.read, loop.now &+ Self.deliveryNanoseconds) }
            endInbound(by: kind)
        case .write:
            if isHeldBack { abort(with: timedOut(kind)) }
        case .farewell:
            if case .timedOut(let error) = inboundEnd { abort(with: error) }
        }
    }

    /// Bytes lie in the kernel for a reader that waits: this loop was late, not the peer.
    var isAboutToReceive: Bool {
        guard receiveToken != nil else { return false }
        return (try? Socket.readableByteCount(of: fd)).map { $0 > 0 } ?? false
    }

    /// What such a byte needs at most to come from the kernel to its reader: some turns.
    static let deliveryNanoseconds: UInt64 = 2_000_000

    /// Ends the inbound stream, unless the kernel's last word on the receive that is under way are
    /// bytes: they have come in time.
    private func endInbound(by kind: StreamTimeouts.Kind) {
        if receiveToken != nil {
            interruptReader(kind == .read ? .readTimedOut : .idleTimedOut)
        } else if inboundEnd == nil {
            noteTimedOut(kind)
        }
    }

    /// The inbound stream has ended by a time-out; the time for a last word begins.
    @discardableResult
    func noteTimedOut(_ kind: StreamTimeouts.Kind) -> NetworkError {
        let error = timedOut(kind)
        inboundEnd = .timedOut(error)
        timing?.timeouts.end(loop.now)
        arm(.farewell)
        return error
    }

    private func timedOut(_ kind: StreamTimeouts.Kind) -> NetworkError {
        let operation = kind == .write ? "write to" : "read from"
        return failure(.timedOut, operation, advice: limits.sentence(for: kind))
    }

    /// The close has its own time.
    func endTimeouts() {
        guard let timing = timing.take() else { return }
        for index in timing.timers.indices {
            if let id = timing.timers[index] { loop.timers.cancel(id) }
        }
    }
}
