// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem

/// Whether a listener may let one more connection in: what its acceptors, one a loop, share.
///
/// An acceptor that finds no room, or no descriptor, rests here; every connection that is closed
/// rouses those who rest.
///
/// Any thread.
final class Admission: Sendable {
    private struct State {
        var count = 0
        var exhaustion = ReportLimit(nanoseconds: 5_000_000_000)
        /// By the index of their loop.
        var resting: [Int: Acceptor] = [:]
    }

    private let limit: Int
    private let state = Guarded(State())

    init(limit: Int?) { self.limit = limit ?? .max }

    var isFull: Bool { state.withLock { $0.count >= limit } }

    /// Takes a place; false when there is none, unless it is taken all the same.
    func enter(force: Bool) -> Bool {
        state.withLock { state in
            guard force || state.count < limit else { return false }
            state.count += 1
            return true
        }
    }

    /// Gives a place back, and with it a descriptor.
    func leave() {
        let resting = state.withLock { state in
            state.count -= 1
            defer { state.resting = [:] }
            return state.resting
        }
        for acceptor in resting.values { acceptor.loop.perform { acceptor.endRest() } }
    }

    /// Notes that an acceptor rests; false when it waits for room and there is some by now.
    func rest(_ acceptor: Acceptor, untilRoom: Bool) -> Bool {
        state.withLock { state in
            guard !untilRoom || state.count >= limit else { return false }
            state.resting[acceptor.loop.index] = acceptor
            return true
        }
    }

    /// Whether exhaustion may be reported now, and how many reports were held back: see
    /// `ReportLimit`.
    func reportExhaustion(_ now: UInt64) -> Int? { state.withLock { $0.exhaustion.admit(now) } }
}
