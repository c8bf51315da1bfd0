// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaEngine
internal import NoriaSystem
internal import SystemPackage

/// The signals of one run: caught at its begin, given back at its end.
///
/// Loop thread only.
final class SignalWatch {
    private let runtime: Runtime
    private let loop: EventLoop
    private var inbox: SignalInbox
    private var router = SignalRouter()
    /// The signal that cut the shutdown short: the process ends by it.
    private(set) var deadly: Signal?

    init(runtime: Runtime, loop: EventLoop) {
        self.runtime = runtime
        self.loop = loop
        inbox = SignalInbox(wakeup: loop.wakeupDescriptor)
    }

    func begin() {
        do throws(Errno) {
            try inbox.ignore(Signal.brokenPipe.rawValue)
            for signal in runtime.configuration.shutdown.signals {
                try inbox.catchSignal(signal.rawValue)
            }
        } catch {
            runtime.configuration.logger.error("signals: not caught: \(error)")
        }
        loop.onRouse { [self] in take() }
    }

    func end() {
        inbox.restore()
        loop.onRouse(nil)
    }

    private func take() {
        for number in SignalInbox.take() {
            let signal = Signal(rawValue: number)
            switch router.route(signal, now: MonotonicClock.now) {
            case .begin: runtime.shutdown.request(reason: "\(signal)")
            case .cancel:
                deadly = signal
                runtime.shutdown.cancel()
            case .end: SignalInbox.endProcess(by: number)
            case .none: break
            }
        }
    }
}
