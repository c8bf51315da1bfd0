// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Noria

@Suite("OrphanWatch takes what nobody has waited for at three looks")
struct OrphanWatchTests {
    @Test("a zombie is an orphan at the third look in a row, and once")
    func patience() {
        var watch = OrphanWatch()
        #expect(watch.orphans(among: [7, 8]) == [])
        #expect(watch.orphans(among: [7, 9]) == [])
        #expect(watch.orphans(among: [7, 9]) == [7])
        // The number is another's by now.
        #expect(watch.orphans(among: [7, 9]) == [9])
        #expect(watch.orphans(among: [7]) == [])
        #expect(watch.orphans(among: [7]) == [7])
    }

    @Test("one that was waited for in between begins anew")
    func between() {
        var watch = OrphanWatch()
        _ = watch.orphans(among: [7])
        _ = watch.orphans(among: [7])
        #expect(watch.orphans(among: []) == [])
        #expect(watch.orphans(among: [7]) == [])
    }
}
