// SPDX-License-Identifier: Apache-2.0
#if NIO
internal import NIOCore
internal import Noria
internal import NoriaEngine
internal import NoriaSystem
internal import Synchronization

/// The end of a connection. Loop thread only.
///
/// To the pipeline a close is done at once. The descriptor of a server's connection goes on for a
/// while: closed at once it would answer what the peer has on its way by a reset, which may eat the
/// last response, and is an error to a client whose next request met the end of its connection.
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
        if isInputClosed { close0(error: ChannelError.eof, mode: .all, promise: nil) }
    }

    private func closeAll(_ error: any Error, _ promise: EventLoopPromise<Void>?) {
        let wasActive = phase == .active
        if wasActive, mayStillSend(error) { linger = .due }
        let wasRegistered = phase != .fresh
        phase = .closed
        active.store(false, ordering: .relaxed)
        if let receiveToken { engine.cancel(receiveToken) }
        if let sendToken { engine.cancel(sendToken) }
        giveUpConnecting(error)
        let isLast = !isWithKernel
        // The memory of a send under way is the kernel's until its completion.
        let promises = sendToken == nil ? pending.removeAll() : []
        for promise in promises { promise.fail(error) }
        if case .closing(let promise) = outputEnd { promise?.fail(error) }
        promise?.succeed()
        let operations = pipeline.syncOperations
        if wasActive { operations.fireChannelInactive() }
        if wasRegistered { operations.fireChannelUnregistered() }
        if isLast { release() }
        noria.loop.post {
            self.removeHandlers(pipeline: self.pipeline)
            self.closePromise.succeed()
        }
    }

    // MARK: After the close

    /// How long the peer has to hear of the end: more than a round trip.
    private static let lingerNanoseconds: UInt64 = 500_000_000

    private func mayStillSend(_ error: any Error) -> Bool {
        parent != nil && !isInputClosed && !(error is IOError) && !isEnd(error)
    }

    private func isEnd(_ error: any Error) -> Bool {
        if case ChannelError.eof? = error as? ChannelError { true } else { false }
    }

    /// Gives the number back when the peer has ended, too; nothing of ours is with the kernel.
    func release() {
        for promise in pending.removeAll() { promise.fail(ChannelError.ioOnClosedChannel) }
        guard case .due = linger else { return giveUpDescriptor() }
        try? Socket.shutDownWriting(fd)
        let end = MonotonicClock.now &+ Self.lingerNanoseconds
        linger = .on(noria.loop.addTimer(at: end, owner: self))
        discard()
    }

    /// Reads what nobody wants any more, a little in a turn.
    private func discard() {
        for _ in 0..<4 {
            switch engine.submit(.receive(fd), owner: self) {
            case .pending(let token):
                receiveToken = token
                return
            case .done(let completion):
                if let id = completion.buffer { engine.giveBack(id) }
                guard completion.result > 0 else { return giveUpDescriptor() }
            }
        }
        noria.loop.post { if case .on = self.linger, self.receiveToken == nil { self.discard() } }
    }

    func discarded(_ result: Int32) {
        if result > 0 { discard() } else { giveUpDescriptor() }
    }

    func lingerIsOver() {
        linger = .on(nil)
        if let receiveToken { engine.cancel(receiveToken) } else { giveUpDescriptor() }
    }

    private func giveUpDescriptor() {
        if case .on(let timer?) = linger { noria.loop.cancelTimer(timer) }
        linger = .none
        engine.backend.deregister(fd)
        Descriptor.close(fd)
        noria.loop.countConnection(-1, isAccepted: false)
        gonePromise.succeed()
    }
}
#endif
