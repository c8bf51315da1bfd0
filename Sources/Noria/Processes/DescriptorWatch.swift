// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import SystemPackage

/// Tells when a descriptor is readable, once for each `begin`.
///
/// Loop thread only.
final class DescriptorWatch: OperationOwner, TimerOwner {
    private let loop: EventLoop
    private let engine: Engine
    private let descriptor: Int32
    private let action: () -> Void
    private var token: Token?
    private var timer: TimerID?
    private var isEnded = false

    init(_ descriptor: Int32, on loop: EventLoop, _ action: @escaping () -> Void) throws(Errno) {
        self.loop = loop
        engine = loop.engine
        self.descriptor = descriptor
        self.action = action
        try engine.backend.register(descriptor)
    }

    func begin() {
        guard token == nil, timer == nil, !isEnded else { return }
        switch engine.submit(.watch(descriptor), owner: self) {
        case .pending(let token): self.token = token
        case .done(let completion):
            // In the next turn: one that is always readable must not keep the loop.
            guard completion.result >= 0 else { return }
            timer = loop.timers.add(deadline: loop.now, owner: self)
        }
    }

    /// Before the descriptor is closed.
    func end() {
        guard !isEnded else { return }
        isEnded = true
        if let token { engine.cancel(token) }
        if let timer { loop.timers.cancel(timer) }
        engine.backend.deregister(descriptor)
    }

    func timerFired(_ context: UInt) {
        timer = nil
        if !isEnded { action() }
    }

    func complete(_ completion: Completion, kind: Submission.Kind) {
        token = nil
        if completion.result >= 0, !isEnded { action() }
    }
}

/// The end of a text, and no more of it than a limit.
struct TextTail {
    let byteCountLimit: Int
    private var bytes: [UInt8] = []

    init(byteCountLimit: Int) { self.byteCountLimit = byteCountLimit }

    mutating func append(_ more: UnsafeRawBufferPointer) {
        bytes += more
        if bytes.count > byteCountLimit { bytes.removeFirst(bytes.count - byteCountLimit) }
    }

    /// A letter that was cut at the front is left out; what is no UTF-8 is replaced.
    var text: String {
        String(decoding: bytes.drop { $0 & 0xc0 == 0x80 }, as: UTF8.self)
    }
}
