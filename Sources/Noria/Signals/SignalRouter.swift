// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem

/// What a caught signal does: the first begins the shutdown, the second cancels, the third ends
/// the process by its own default.
///
/// One number that comes again within 200 ms counts once: a Ctrl-C reaches a whole group, and a
/// supervisor may pass it on.
struct SignalRouter {
    enum Action: Equatable {
        case begin(Signal)
        case cancel(Signal)
        case end(Signal)
        case none
    }

    private var count = 0
    private var last: [Signal: UInt64] = [:]
    private static let sameNanoseconds: UInt64 = 200_000_000

    mutating func route(_ signal: Signal, now: UInt64) -> Action {
        if let before = last[signal], now &- before < Self.sameNanoseconds { return .none }
        last[signal] = now
        count += 1
        switch count {
        case 1: return .begin(signal)
        case 2: return .cancel(signal)
        default: return .end(signal)
        }
    }
}
