// SPDX-License-Identifier: Apache-2.0
#if NIO
internal import NIOCore
internal import Noria
internal import NoriaEngine
internal import NoriaSystem
internal import SystemPackage

/// An attempt to connect, and the address that the kernel reads meanwhile.
final class ConnectAttempt {
    let storage: UnsafeMutablePointer<SocketStorage>
    /// Told when it is over, however it ends.
    var promise: EventLoopPromise<Void>?
    var token: Token?
    var timer: TimerID?
    let isUnix: Bool

    init(_ address: SocketStorage, _ promise: EventLoopPromise<Void>?) {
        isUnix = address.isUnix
        storage = .allocate(capacity: 1)
        storage.initialize(to: address)
        self.promise = promise
    }

    // SAFETY: the channel keeps this until the kernel's last word on `token`.
    deinit { storage.deallocate() }
}

/// A client's way to its server. Loop thread only.
extension StreamSocketChannel {
    func connect0(to address: NIOCore::SocketAddress, promise: EventLoopPromise<Void>?) {
        guard attempt == nil else {
            promise?.fail(ChannelError.connectPending)
            return
        }
        guard phase == .registered, parent == nil else {
            promise?.fail(ChannelError.inappropriateOperationForState)
            return
        }
        guard let storage = SocketStorage(address) else {
            promise?.fail(ChannelError.operationUnsupported)
            return
        }
        let attempt = ConnectAttempt(storage, promise)
        self.attempt = attempt
        guard !attempt.isUnix else {
            // It connects at once or not at all.
            return connected(Int32(truncatingIfNeeded: Socket.connect(fd, to: storage)))
        }
        switch engine.submit(.connect(fd, to: attempt.storage), owner: self) {
        case .done(let completion): connected(completion.result)
        case .pending(let token):
            attempt.token = token
            guard let timeout = settings.connectTimeout else { return }
            attempt.timer = noria.loop.addTimer(
                at: MonotonicClock.now &+ UInt64(max(0, timeout.nanoseconds)),
                owner: self
            )
        }
    }

    func connected(_ result: Int32) {
        guard let attempt else { return }
        if let timer = attempt.timer.take() { noria.loop.cancelTimer(timer) }
        guard result == 0 else {
            let error = IOError(errnoCode: -result, reason: "connect")
            return close0(error: error, mode: .all, promise: nil)
        }
        do throws(Errno) {
            if attempt.isUnix { try engine.backend.register(fd) }
        } catch {
            return close0(error: error.nioError("register"), mode: .all, promise: nil)
        }
        noteAddresses()
        self.attempt = nil
        attempt.promise?.succeed()
        becomeActive()
    }

    func timerFired(_ context: UInt) {
        if linger != nil { return lingerTimeIsUp() }
        guard let attempt, let timeout = settings.connectTimeout else { return }
        attempt.timer = nil
        close0(error: ChannelError.connectTimeout(timeout), mode: .all, promise: nil)
    }

    /// The channel is closed: the attempt has failed, and its memory stays until the kernel lets go.
    func giveUpConnecting(_ error: any Error) {
        guard let attempt else { return }
        if let timer = attempt.timer.take() { noria.loop.cancelTimer(timer) }
        if let token = attempt.token { engine.cancel(token) }
        attempt.promise.take()?.fail(error)
    }
}
#endif
