// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem
internal import SystemPackage

/// The pool's end of one worker: its socket, its standard error, its death.
///
/// Loop thread only. It tells of its end once, when the process was waited for and everything that
/// it had said is read: a result that a worker sent before it died counts.
final class WorkerProcess: OperationOwner {
    /// What the pool hears of it.
    struct Listener {
        let frame: (WorkerFrame) -> Void
        /// What came was no frame; it is ended now.
        let nonsense: (WorkerFrameParser.Failure) -> Void
        let ended: (Child.End) -> Void
    }

    let id: UInt64
    let child: Child
    private let engine: Engine
    private let socket: Int32
    private let errors: Int32
    private let listener: Listener
    private var parser: WorkerFrameParser
    private var tail = TextTail(byteCountLimit: 4096)
    private let passesOn: (UnsafeRawBufferPointer) -> Void

    private var outbound = OutboundBuffer()
    private var filling = OutboundBuffer()
    private var receiveToken: Token?
    private var sendToken: Token?
    private var deathWatch: DescriptorWatch?
    private var errorWatch: DescriptorWatch?
    private var isSpeechless = false
    private var end: Child.End?
    private var isFinished = false

    /// It has said that an allocation failed.
    private(set) var wasOutOfMemory = false

    /// Takes over the pool's ends of a worker that was started.
    init(
        _ id: UInt64,
        _ started: StartedWorker,
        on loop: EventLoop,
        frameByteCountLimit: Int,
        passesOn: @escaping (UnsafeRawBufferPointer) -> Void,
        _ listener: Listener
    ) throws(Errno) {
        self.id = id
        engine = loop.engine
        child = started.child
        socket = started.socket
        errors = started.errors
        self.listener = listener
        self.passesOn = passesOn
        parser = WorkerFrameParser(byteCountLimit: frameByteCountLimit)
        try engine.backend.register(socket, stopsShort: true)
        do throws(Errno) {
            deathWatch = try DescriptorWatch(child.descriptor, on: loop) { [unowned self] in
                died()
            }
            errorWatch = try DescriptorWatch(errors, on: loop) { [unowned self] in hear() }
        } catch {
            deathWatch?.end()
            engine.backend.deregister(socket)
            throw error
        }
    }

    func begin() {
        deathWatch?.begin()
        errorWatch?.begin()
        receive()
    }

    /// What it wrote to standard error since the last `forgetErrors`.
    var standardErrorTail: String {
        if !isFinished { hear() }
        return tail.text
    }

    func forgetErrors() {
        if !isFinished { hear() }
        tail = TextTail(byteCountLimit: tail.byteCountLimit)
    }

    // MARK: Ending it

    func kill() {
        if end == nil { child.signal(9) }
    }

    /// It ends itself when it reads the end.
    func dismiss() { try? Socket.shutDownWriting(socket) }

    /// After the loop's last turn: blocks until it has gone.
    func endNow() {
        guard !isFinished else { return }
        kill()
        _ = end ?? child.reap(waits: true)
        close()
    }

    private func died() {
        guard end == nil else { return }
        guard let end = child.reap() else {
            deathWatch?.begin()
            return
        }
        self.end = end
        if let receiveToken { engine.cancel(receiveToken) }
        if let sendToken { engine.cancel(sendToken) }
        finishIfDone()
    }

    private func finishIfDone() {
        guard let end, receiveToken == nil, sendToken == nil, !isFinished else { return }
        readRest()
        hear()
        close()
        listener.ended(end)
    }

    private func close() {
        isFinished = true
        errorWatch?.end()
        deathWatch?.end()
        engine.backend.deregister(socket)
        for fd in [socket, errors, child.descriptor] { Descriptor.close(fd) }
    }

    // MARK: The socket

    /// Sends a frame; a worker that does not read is seen by its call's time-out.
    func send(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { filling.append($0) }
        submitUnsent()
    }

    private func submitUnsent() {
        while sendToken == nil, !isSpeechless, end == nil {
            if outbound.isEmpty {
                guard !filling.isEmpty else { return }
                swap(&filling, &outbound)
            }
            guard let start = outbound.unsent.baseAddress else { return }
            switch engine.submit(.send(socket, start, count: outbound.count), owner: self) {
            case .pending(let token): sendToken = token
            case .done(let completion): sent(completion.result)
            }
        }
    }

    private func sent(_ result: Int32) {
        // Its death says more than a broken pipe.
        guard result >= 0 else {
            isSpeechless = true
            return
        }
        outbound.drop(Int(result))
        if outbound.isEmpty { outbound.removeAll(keeping: 65_536) }
    }

    private func receive() {
        while receiveToken == nil, end == nil {
            switch engine.submit(.receive(socket), owner: self) {
            case .pending(let token): receiveToken = token
            case .done(let completion): guard take(completion) else { return }
            }
        }
    }

    func complete(_ completion: Completion, kind: Submission.Kind) {
        switch kind {
        case .receive:
            receiveToken = nil
            if take(completion) { receive() }
        default:
            sendToken = nil
            sent(completion.result)
            submitUnsent()
        }
        finishIfDone()
    }

    /// Whether more may come.
    private func take(_ completion: Completion) -> Bool {
        guard completion.result > 0 else {
            // Without a socket it is no use; and a worker that dies has its status by now.
            kill()
            return false
        }
        let isSense = parse(engine.bytes(of: completion))
        if let buffer = completion.buffer { engine.giveBack(buffer) }
        return isSense
    }

    private func parse(_ bytes: UnsafeRawBufferPointer) -> Bool {
        parser.append(bytes)
        do throws(WorkerFrameParser.Failure) {
            while let frame = try parser.next() {
                if frame.kind == .outOfMemory {
                    wasOutOfMemory = true
                } else {
                    listener.frame(frame)
                }
            }
            return true
        } catch {
            listener.nonsense(error)
            kill()
            return false
        }
    }

    /// What it said last, when the receive was cancelled by its death.
    private func readRest() {
        withUnsafeTemporaryAllocation(byteCount: 65_536, alignment: 16) { buffer in
            guard let start = buffer.baseAddress else { return }
            while case let count = Socket.receive(socket, into: start, count: buffer.count),
                count > 0
            {
                guard parse(UnsafeRawBufferPointer(rebasing: buffer[..<count])) else { return }
            }
        }
    }

    // MARK: Standard error

    private func hear() {
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 16) { buffer in
            // Bounded: one that writes without end must not keep the loop.
            for _ in 0..<16 {
                let count = Descriptor.readBytes(of: errors, into: buffer)
                guard count > 0 else {
                    if count == 0 { errorWatch?.end() } else { errorWatch?.begin() }
                    return
                }
                let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
                tail.append(bytes)
                passesOn(bytes)
            }
            errorWatch?.begin()
        }
    }
}
