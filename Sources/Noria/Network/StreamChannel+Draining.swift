// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
internal import Synchronization

/// The end of a connection that has one because its listener ends: after the message in hand.
extension StreamChannel {
    /// What a drain asks: the reader waits, nothing is buffered, and no answer is owed.
    var isIdle: Bool {
        isMarkedIdle
            || (talk != .asked && unread.isEmpty && !isUnreadLent && !isAboutToBeAsked)
    }

    private var isAboutToBeAsked: Bool { talk == .fresh && isFirstByteAwaited }

    /// Nothing of the peer's is in the kernel.
    var hasNothingToRead: Bool {
        guard let count = try? Socket.readableByteCount(of: fd) else { return true }
        return count == 0
    }

    /// Any thread.
    var isDraining: Bool { drainBegan.load(ordering: .relaxed) }

    /// Who has connected a moment ago, and has said nothing yet, is about to: that long after the
    /// begin of the drain its first byte is waited for.
    private static let firstByteTime = Duration.milliseconds(100)

    /// Lets the message in hand be answered, then ends the inbound stream.
    ///
    /// Loop thread only.
    func drain() {
        loop.checkThread()
        guard !isDraining else { return }
        drainBegan.store(true, ordering: .relaxed)
        guard talk == .fresh else { return endIdleRead() }
        isFirstByteAwaited = true
        _ = StreamTimer(Self.firstByteTime, on: loop) { [self] in
            isFirstByteAwaited = false
            endIdleRead()
            return nil
        }
    }

    /// Loop thread only.
    func markIdle(_ isIdle: Bool) {
        loop.checkThread()
        isMarkedIdle = isIdle
        if isDraining { endIdleRead() }
    }

    /// Ends the read of one who waits for nothing that was begun.
    ///
    /// While another task writes the answer this is asked again: the reader has nobody else who
    /// would tell it that the stream is idle by now.
    func endIdleRead() {
        if reader != nil, isIdle, hasNothingToRead { interruptReader(.drained) }
    }
}
