// SPDX-License-Identifier: Apache-2.0
import NoriaSystem
import Testing

@testable import Noria

/// DESIGN §9: the order of a shutdown, its budgets, and what comes too late.
@Suite("ShutdownState takes a shutdown through its phases")
struct ShutdownStateTests {
    private typealias Effect = ShutdownState.Effect

    private static let begin: UInt64 = 5_000_000_000
    private static let millisecond: UInt64 = 1_000_000

    private func policy(_ deadline: Duration = .seconds(25), grace: Duration = .zero)
        -> ShutdownPolicy
    {
        var policy = ShutdownPolicy()
        policy.deadline = deadline
        policy.grace = grace
        return policy
    }

    private func at(_ milliseconds: UInt64) -> UInt64 {
        Self.begin + milliseconds * Self.millisecond
    }

    @Test("Without a request nothing happens, whatever comes")
    func running() {
        var state = ShutdownState(policy())
        for event in ShutdownState.Event.allCases {
            #expect(state.take(event, now: at(1)) == [])
        }
        #expect(state.phase == .running)
        #expect(state.begins.isEmpty)
    }

    @Test("A request drains at once, within 22 s and 24 s of 25; a second changes nothing")
    func request() {
        var state = ShutdownState(policy())
        let effects: [Effect] = [
            .announce,
            .timer(.cancelIsDue, at: at(22_000)),
            .timer(.abortIsDue, at: at(24_000)),
            .drain,
        ]
        #expect(state.request(now: at(0)) == effects)
        #expect(state.phase == .draining)
        #expect(state.request(now: at(10)) == [])
        #expect(state.asked == at(0))
    }

    @Test("With a grace it is not ready first, and drains when that is over, once")
    func grace() {
        var state = ShutdownState(policy(grace: .seconds(5)))
        let effects: [Effect] = [
            .announce,
            .timer(.cancelIsDue, at: at(22_000)),
            .timer(.abortIsDue, at: at(24_000)),
            .timer(.graceIsOver, at: at(5000)),
        ]
        #expect(state.request(now: at(0)) == effects)
        #expect(state.phase == .notReady)
        #expect(state.take(.allHaveDrained, now: at(1)) == [])
        #expect(state.take(.graceIsOver, now: at(5000)) == [.drain])
        #expect(state.take(.graceIsOver, now: at(5001)) == [])
        #expect(state.begins.map(\.phase) == [.notReady, .draining])
        #expect(state.begins.map(\.moment) == [at(0), at(5000)])
    }

    @Test("When all have drained the rest has the settle time, then tasks are cancelled")
    func settle() {
        var state = ShutdownState(policy())
        _ = state.request(now: at(0))
        #expect(
            state.take(.allHaveDrained, now: at(300)) == [.timer(.cancelIsDue, at: at(2300))]
        )
        #expect(state.phase == .draining)
        #expect(
            state.take(.cancelIsDue, now: at(2300))
                == [.cancel, .timer(.lateCancelIsDue, at: at(4800))]
        )
        #expect(state.phase == .cancelling)
        // The timer for the whole drain comes all the same.
        #expect(state.take(.cancelIsDue, now: at(22_000)) == [])
        #expect(state.take(.lateCancelIsDue, now: at(4800)) == [.cancelLate])
    }

    @Test("A further signal cancels at once and cuts off 50 ms later; in the grace it drains, too")
    func furtherSignal() {
        for (grace, drain) in [(Duration.zero, []), (.seconds(5), [Effect.drain])] {
            var state = ShutdownState(policy(grace: grace))
            _ = state.request(now: at(0))
            let effects: [Effect] =
                drain + [
                    .cancel,
                    .timer(.lateCancelIsDue, at: at(2900)),
                    .timer(.abortIsDue, at: at(450)),
                ]
            #expect(state.take(.furtherSignal, now: at(400)) == effects)
            #expect(state.phase == .cancelling)
            #expect(state.take(.graceIsOver, now: at(420)) == [])
            #expect(state.take(.abortIsDue, now: at(450)) == [.abort])
            #expect(state.phase == .closing)
        }
    }

    @Test("A further signal when tasks are cancelled already still cuts off soon")
    func lateSignal() {
        var state = ShutdownState(policy())
        _ = state.request(now: at(0))
        _ = state.take(.cancelIsDue, now: at(22_000))
        #expect(
            state.take(.furtherSignal, now: at(22_100)) == [.timer(.abortIsDue, at: at(22_150))]
        )
    }

    @Test("What has ended hears nothing more")
    func ended() {
        var state = ShutdownState(policy())
        _ = state.request(now: at(0))
        state.end()
        for event in ShutdownState.Event.allCases {
            #expect(state.take(event, now: at(1)) == [])
        }
        #expect(state.request(now: at(2)) == [])
        #expect(state.phase == .ended)
    }

    /// Its own timers, late by chance, and events at random moments.
    @Test("Whatever comes in whatever order, each step is done once, in order, and in time")
    func random() {
        var generator = Seeded(state: 42)
        for _ in 0..<2000 {
            let deadline = Duration.milliseconds(Int.random(in: 40...40_000, using: &generator))
            let hasGrace = Bool.random(using: &generator)
            let policy = policy(deadline, grace: hasGrace ? deadline * 0.5 : .zero)
            var state = ShutdownState(policy)
            var (timers, done): ([(event: ShutdownState.Event, at: UInt64)], [Effect]) = ([], [])
            func note(_ effects: [Effect]) {
                for effect in effects {
                    if case .timer(let event, let moment) = effect {
                        timers.append((event, moment))
                    } else {
                        done.append(effect)
                    }
                }
            }
            for _ in 0..<Int.random(in: 0...3, using: &generator) {
                let drained = UInt64.random(in: 1...40_000, using: &generator)
                timers.append(
                    (Bool.random(using: &generator) ? .allHaveDrained : .furtherSignal, at(drained))
                )
            }
            note(state.request(now: at(0)))
            while let next = timers.indices.min(by: { timers[$0].at < timers[$1].at }) {
                let (event, moment) = timers.remove(at: next)
                note(state.take(event, now: moment))
            }
            #expect(state.phase == .closing)
            let order: [Effect] = [.announce, .drain, .cancel, .cancelLate, .abort]
            let places = done.compactMap { order.firstIndex(of: $0) }
            #expect(places == places.sorted(), "\(deadline), \(hasGrace): \(done)")
            #expect(Set(places).count == places.count, "\(done)")
            #expect(Set(places).isSuperset(of: [0, 1, 2, 4]), "\(done)")
            let phases = state.begins.map(\.phase)
            #expect(phases == phases.sorted())
            let closing = state.begins.last?.moment ?? 0
            #expect(closing <= at(0) + UInt64(policy.cancelBudget.nanoseconds))
        }
    }
}

/// The same numbers on every run.
private struct Seeded: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let mixed = (state ^ (state >> 33)) &* 0xff51_afd7_ed55_8ccd
        return mixed ^ (mixed >> 29)
    }
}
