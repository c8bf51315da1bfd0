// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem

/// The course of a shutdown as a value: what happens, and when, goes in; what is to be done comes out.
///
/// | in | comes | then | is done |
/// |---|---|---|---|
/// | running | the request | notReady | told to all, timers, with a grace |
/// | | | draining | told to all, timers, drain; without one |
/// | notReady | the end of the grace | draining | drain |
/// | draining | all have drained | draining | the settle timer |
/// | notReady, draining | the end of the time for it, or of the settle time | cancelling | drain if that never began, cancel |
/// | notReady … cancelling | a further signal | cancelling | the same, and abort soon |
/// | cancelling | the delay for it | cancelling | cancel the tasks that nobody holds |
/// | notReady … cancelling | the end of the time to cancel | closing | cancel if none did, abort |
/// | any | the end | ended | |
///
/// What comes late changes nothing: a timer of a phase that is over, a second request.
struct ShutdownState {
    /// What happens.
    enum Event: UInt, CaseIterable {
        case graceIsOver, allHaveDrained, cancelIsDue, furtherSignal, lateCancelIsDue, abortIsDue
    }

    /// What is to be done, in this order.
    enum Effect: Equatable {
        /// Arm the deadline, and tell those who wait for the request.
        case announce
        case drain
        case cancel
        case cancelLate
        case abort
        case timer(Event, at: UInt64)
    }

    private(set) var phase = Shutdown.Phase.running
    /// When each phase began that is between the first and the last.
    private(set) var begins: [(phase: Shutdown.Phase, moment: UInt64)] = []
    /// When the end was asked for.
    private(set) var asked: UInt64 = 0
    private let policy: ShutdownPolicy

    /// How long connections have to end in order after a further signal: what they have sent is with
    /// the kernel, and who waits at the terminal has asked twice.
    private static let hurriedNanoseconds: UInt64 = 50_000_000

    init(_ policy: ShutdownPolicy) { self.policy = policy }

    mutating func request(now: UInt64) -> [Effect] {
        guard phase == .running else { return [] }
        asked = now
        let isPatient = policy.grace > .zero
        enter(isPatient ? .notReady : .draining, now)
        let timers: [Effect] = [
            .timer(.cancelIsDue, at: now &+ UInt64(policy.drainBudget.nanoseconds)),
            .timer(.abortIsDue, at: now &+ UInt64(policy.cancelBudget.nanoseconds)),
        ]
        guard isPatient else { return [.announce] + timers + [.drain] }
        let grace = now &+ UInt64(policy.grace.nanoseconds)
        return [.announce] + timers + [.timer(.graceIsOver, at: grace)]
    }

    mutating func take(_ event: Event, now: UInt64) -> [Effect] {
        guard phase != .running, phase < .closing else { return [] }
        switch event {
        case .graceIsOver:
            guard phase == .notReady else { return [] }
            enter(.draining, now)
            return [.drain]
        case .allHaveDrained:
            guard phase == .draining else { return [] }
            return [.timer(.cancelIsDue, at: now &+ UInt64(policy.settleTime.nanoseconds))]
        case .cancelIsDue:
            return cancel(now)
        case .furtherSignal:
            return cancel(now)
                + [.timer(.abortIsDue, at: now &+ Self.hurriedNanoseconds)]
        case .lateCancelIsDue:
            return phase == .cancelling ? [.cancelLate] : []
        case .abortIsDue:
            let cancelling = cancel(now)
            enter(.closing, now)
            return cancelling + [.abort]
        }
    }

    mutating func end() { phase = .ended }

    private mutating func cancel(_ now: UInt64) -> [Effect] {
        guard phase < .cancelling else { return [] }
        let neverDrained: [Effect] = phase == .notReady ? [.drain] : []
        enter(.cancelling, now)
        let later = now &+ UInt64(policy.lateCancelDelay.nanoseconds)
        return neverDrained + [.cancel, .timer(.lateCancelIsDue, at: later)]
    }

    private mutating func enter(_ next: Shutdown.Phase, _ now: UInt64) {
        phase = next
        begins.append((next, now))
    }
}
