// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Noria

@Suite("SignalRouter counts what a person or a supervisor meant")
struct SignalRouterTests {
    private static let millisecond: UInt64 = 1_000_000

    /// What the router says to signals at some milliseconds.
    private func actions(_ signals: [(Signal, UInt64)]) -> [SignalRouter.Action] {
        var router = SignalRouter()
        return signals.map { router.route($0.0, now: 1_000_000_000 + $0.1 * Self.millisecond) }
    }

    @Test("The first begins, the second cancels, the third and each later one ends")
    func escalation() {
        let seen = actions([
            (.terminate, 0), (.terminate, 1000), (.terminate, 2000), (.terminate, 3000),
        ])
        #expect(
            seen == [.begin(.terminate), .cancel(.terminate), .end(.terminate), .end(.terminate)]
        )
    }

    @Test("One number within 200 ms of the one that counted is the same, at 200 ms another")
    func sameSignal() {
        let seen = actions([
            (.interrupt, 0), (.interrupt, 0), (.interrupt, 1), (.interrupt, 199),
            (.interrupt, 200), (.interrupt, 399), (.interrupt, 400),
        ])
        #expect(
            seen == [
                .begin(.interrupt), .none, .none, .none, .cancel(.interrupt), .none,
                .end(.interrupt),
            ]
        )
    }

    @Test(
        "A key that is held down still gets through: what was dropped does not start the time anew"
    )
    func heldDown() {
        let seen = actions((0...8).map { (.interrupt, $0 * 50) })
        #expect(
            seen.filter { $0 != .none } == [
                .begin(.interrupt), .cancel(.interrupt), .end(.interrupt),
            ]
        )
    }

    @Test("Two numbers count each, however close")
    func twoNumbers() {
        let seen = actions([(.interrupt, 0), (.terminate, 0), (.interrupt, 10), (.terminate, 10)])
        #expect(seen == [.begin(.interrupt), .cancel(.terminate), .none, .none])
    }

    @Test("A signal at the clock's zero counts")
    func atZero() {
        var router = SignalRouter()
        #expect(router.route(.terminate, now: 0) == .begin(.terminate))
        #expect(router.route(.terminate, now: 1) == .none)
    }

    @Test("What comes again before anybody has taken it counts once")
    func mailbox() async {
        let mailbox = SignalMailbox()
        for signal in [Signal.user1, .hangup, .user1, .user1] { mailbox.deliver(signal) }
        mailbox.finish()
        var seen: [Signal] = []
        while let signal = await mailbox.next() { seen.append(signal) }
        #expect(seen == [.hangup, .user1])
    }
}
