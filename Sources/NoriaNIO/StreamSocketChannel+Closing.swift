// SPDX-License-Identifier: Apache-2.0
#if NIO
internal import NIOCore
internal import Noria
internal import NoriaEngine
internal import NoriaSystem
internal import Synchronization

/// The end of a connection. Loop thread only.
///
/// To the pipeline a close is done at once. The descriptor goes on for a while: what was flushed is
/// still sent, and what a client of ours has on its way is not answered by a reset, which may eat the
/// last response, and is an error to one whose next request met the end of its connection.
extension StreamSocketChannel {
    func close0(error: any Error, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard phase != .closed else {
            promise?.fail(ChannelError.alreadyClosed)
            return
        }
        switch mode {
        case .all: closeAll(error, promise)
        case .output:
            guard case .open = outputEnd else {
                promise?.fail(ChannelError.outputClosed)
                return
            }
            outputEnd = .closing(promise)
            endOutputWhenSent()
        case .input:
            guard !isInputClosed else {
                promise?.fail(ChannelError.inputClosed)
                return
            }
            isInputClosed = true
            try? Socket.shutDownReading(fd)
            promise?.succeed()
            pipeline.syncOperations.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
            guard case .closed = outputEnd, phase != .closed else { return }
            close0(error: ChannelError.eof, mode: .all, promise: nil)
        }
    }

    func endOutputWhenSent() {
        guard case .closing(let promise) = outputEnd, pending.isEmpty, phase == .active else {
            return
        }
        outputEnd = .closed
        do {
            try Socket.shutDownWriting(fd)
            promise?.succeed()
        } catch {
            promise?.fail(error)
        }
        pipeline.syncOperations.fireUserInboundEventTriggered(ChannelEvent.outputClosed)
        if isInputClosed, phase != .closed {
            close0(error: ChannelError.eof, mode: .all, promise: nil)
        }
    }

    private func closeAll(_ error: any Error, _ promise: EventLoopPromise<Void>?) {
        let wasActive = phase == .active
        let wasRegistered = phase != .fresh
        let awaitsPeer = mayStillSend(error)
        let lingers = wasActive && !(error is IOError) && (awaitsPeer || pending.hasFlushed)
        phase = .closed
        active.store(false, ordering: .relaxed)
        if lingers { linger = Linger(timer: armLinger(), hasInputEnded: !awaitsPeer) }
        if let receiveToken, !lingers || !awaitsPeer { engine.cancel(receiveToken) }
        if let sendToken, !lingers { engine.cancel(sendToken) }
        giveUpConnecting(error)
        let isLast = !isWithKernel
        // The memory of a send under way is the kernel's until its completion.
        let promises =
            lingers ? pending.keepFlushed() : sendToken == nil ? pending.removeAll() : []
        for promise in promises { promise.fail(error) }
        if case .closing(let promise) = outputEnd { promise?.fail(error) }
        promise?.succeed()
        let operations = pipeline.syncOperations
        if wasActive { operations.fireChannelInactive() }
        if wasRegistered { operations.fireChannelUnregistered() }
        if lingers { goOnLingering() } else if isLast { giveUpDescriptor() }
        noria.loop.post {
            self.removeHandlers(pipeline: self.pipeline)
            self.forgetAddresses()
            self.closePromise.succeed()
        }
    }

    // MARK: After the close

    /// How long the peer may take nothing of what is sent, or its end is waited for then.
    ///
    /// More than a round trip. What it sends meanwhile gives it no more time.
    private static let lingerNanoseconds: UInt64 = 500_000_000

    /// A client of ours that has not ended: its next request may be on its way.
    private func mayStillSend(_ error: any Error) -> Bool {
        if case ChannelError.eof? = error as? ChannelError { return false }
        return parent != nil && !isInputClosed
    }

    private func armLinger() -> TimerID {
        let end = MonotonicClock.now &+ Self.lingerNanoseconds
        return noria.loop.addTimer(at: end, owner: self)
    }

    /// Sends what was flushed, ends our direction, and reads what nobody wants any more.
    private func goOnLingering() {
        while sendToken == nil, let submission = pending.next(on: fd) {
            guard submission.byteCount > 0 else {
                _ = pending.sent(0)
                continue
            }
            switch engine.submit(submission, owner: self) {
            case .pending(let token): sendToken = token
            case .done(let completion): guard sentLate(completion.result) else { return }
            }
        }
        if pending.isEmpty, linger?.hasEndedOutput == false {
            linger?.hasEndedOutput = true
            try? Socket.shutDownWriting(fd)
        }
        if receiveToken == nil, linger?.hasInputEnded == false { discard() }
        giveUpWhenDone()
    }

    /// A little in a turn.
    private func discard() {
        for _ in 0..<4 {
            switch engine.submit(.receive(fd), owner: self) {
            case .pending(let token):
                receiveToken = token
                return
            case .done(let completion):
                if let id = completion.buffer { engine.giveBack(id) }
                guard discarded(completion.result) else { return }
            }
        }
        noria.loop.post { if self.linger != nil, self.receiveToken == nil { self.discard() } }
    }

    /// Whether there may be more.
    private func discarded(_ result: Int32) -> Bool {
        if result > 0, linger?.hasInputEnded == false { return true }
        linger?.hasInputEnded = true
        giveUpWhenDone()
        return false
    }

    /// Whether there may be more.
    private func sentLate(_ result: Int32) -> Bool {
        guard result >= 0 else {
            endLingering()
            return false
        }
        linger?.hasProgressed = true
        // For nobody: the promises were told at the close.
        _ = pending.sent(Int(result))
        return true
    }

    /// What the kernel says after the close.
    func completeLate(_ completion: Completion, isReceive: Bool) {
        guard linger != nil else { return giveUpWhenDone() }
        if isReceive {
            if discarded(completion.result) { discard() }
        } else if sentLate(completion.result) {
            goOnLingering()
        }
    }

    /// Closes, and waits for nobody.
    ///
    /// Any thread.
    func abort() {
        guard noria.inEventLoop else { return noria.execute { self.abort() } }
        close(promise: nil)
        if linger != nil { endLingering() }
    }

    /// Closes, and asks no handler.
    func loopEnds() {
        close0(error: EventLoopError.shutdown, mode: .all, promise: nil)
        if linger != nil { endLingering() }
    }

    func lingerTimeIsUp() {
        guard linger?.hasProgressed == true else { return endLingering() }
        linger?.hasProgressed = false
        linger?.timer = armLinger()
    }

    private func endLingering() {
        if let timer = linger?.timer { noria.loop.cancelTimer(timer) }
        linger = nil
        if let receiveToken { engine.cancel(receiveToken) }
        if let sendToken { engine.cancel(sendToken) }
        giveUpWhenDone()
    }

    /// Gives the number back when the peer has ended, too, and nothing of ours is with the kernel.
    private func giveUpWhenDone() {
        guard !isWithKernel else { return }
        guard let linger else { return giveUpDescriptor() }
        if linger.hasInputEnded, pending.isEmpty { giveUpDescriptor() }
    }

    private func giveUpDescriptor() {
        guard !isGone else { return }
        isGone = true
        if let timer = linger?.timer { noria.loop.cancelTimer(timer) }
        linger = nil
        let unsent = pending.removeAll()
        for promise in unsent { promise.fail(ChannelError.ioOnClosedChannel) }
        engine.backend.deregister(fd)
        Descriptor.close(fd)
        noria.loop.countConnection(-1, isAccepted: false)
        noria.residents.channels[ObjectIdentifier(self)] = nil
        gonePromise.succeed()
    }
}
#endif
