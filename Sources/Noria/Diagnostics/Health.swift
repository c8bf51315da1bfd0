// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem

/// What the runtime says to whoever asks whether it lives, and whether it wants work: a load
/// balancer, Kubernetes, systemd.
///
/// Ready is what has no reason against it. The program's own reasons are said by `setNotReady` and
/// taken back by `setReady`; the shutdown's is there from its request on. Live is a runtime each of
/// whose loops answered lately: one that is not is best ended and begun anew.
public final class Health: Sendable {
    private let eventLoops: EventLoopGroup
    private let shutdown: Shutdown
    /// By the component that is not ready.
    private let components = Guarded<[String: String]>([:])
    /// What is told of `setReady`, and whether that is the program's word that it is ready.
    let onReady = Guarded<(@Sendable (Bool) -> Void)?>(nil)

    /// How long a turn may last until nobody counts on its end: ten times the second that kubelet
    /// gives a probe.
    private let patience: UInt64

    init(_ eventLoops: EventLoopGroup, _ shutdown: Shutdown, patience: Duration = .seconds(10)) {
        self.eventLoops = eventLoops
        self.shutdown = shutdown
        self.patience = UInt64(patience.nanoseconds)
    }

    /// Whether no loop has been in one turn for ten seconds.
    ///
    /// A loop that sleeps for want of work answers. A probe that is itself served by a loop which
    /// does not, gets no answer at all.
    ///
    /// Any thread.
    public var isLive: Bool { loopReasons.isEmpty }

    /// Whether there is no reason not to send work here.
    ///
    /// Any thread.
    public var isReady: Bool { reasons.isEmpty }

    /// Why it is not ready, by the component: the program's own, `shutdown`, `loop 0` and so on.
    ///
    /// Any thread.
    public var reasons: [String: String] {
        var reasons = components.withLock { $0 }
        reasons.merge(loopReasons) { _, loop in loop }
        let phase = shutdown.phase
        if phase != .running { reasons["shutdown"] = phase.rawValue }
        return reasons
    }

    /// Whether the program itself has no reason against it, and goes on.
    var isProgramReady: Bool {
        components.withLock { $0.isEmpty } && shutdown.phase == .running
    }

    /// Takes a component's reason back.
    ///
    /// Where there was none it says that the program is ready: what one without a listener tells
    /// its service manager.
    ///
    /// Any thread.
    public func setReady(_ component: String) {
        let hadReason = components.withLock { $0.removeValue(forKey: component) != nil }
        onReady.withLock { $0 }?(!hadReason)
    }

    /// Says why a component can't do work now, in place of what was said of it before.
    ///
    /// Any thread.
    public func setNotReady(_ component: String, because reason: String) {
        components.withLock { $0[component] = reason }
    }

    private var loopReasons: [String: String] {
        let now = MonotonicClock.now
        var reasons: [String: String] = [:]
        for loop in eventLoops {
            let length = loop.turnLog.presentTurn(now)
            guard length > patience else { continue }
            reasons["\(loop)"] = "its turn has lasted \(Duration.nanoseconds(length))"
        }
        return reasons
    }
}
