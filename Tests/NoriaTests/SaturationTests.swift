// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Noria

@Suite("when a loop's way to the kernel is too narrow")
struct SaturationTests {
    private static let second: UInt64 = 1_000_000_000
    private var saturation = Saturation()

    @Test(
        "most turns at their limit for ten seconds are told, with the knob, and then not for long"
    )
    mutating func limitedTurns() throws {
        var counts = Saturation.Counts()
        var told: [UInt64] = []
        for now in UInt64(0)..<1300 {
            counts.turns += 100
            counts.limitedTurns += 51
            if let text = saturation.look(counts, now * Self.second) {
                told.append(now)
                #expect(text.contains("510 turns left completions for the next"))
                #expect(text.contains("NORIA_COMPLETIONS_PER_TURN"))
            }
        }
        #expect(told == [10, 610, 1210])
    }

    @Test("half of the turns, a starved receive in ten, or less time is nothing to tell")
    mutating func quiet() {
        var counts = Saturation.Counts()
        for now in UInt64(0)..<100 {
            counts.turns += 100
            counts.limitedTurns += 50
            counts.completions += 1000
            counts.starvedReceives += 100
            #expect(saturation.look(counts, now * Self.second) == nil)
        }
    }

    @Test("an overflow of the ring, and starved receives, are told")
    mutating func overflow() throws {
        #expect(saturation.look(Saturation.Counts(), 1) == nil)
        var counts = Saturation.Counts()
        counts.overflows = 3
        counts.completions = 100
        counts.starvedReceives = 11
        let found = saturation.look(counts, 10 * Self.second + 1)
        let text = try #require(found)
        #expect(text.contains("was full 3 times, 11 receives had to wait for a buffer"))
    }
}
