// SPDX-License-Identifier: Apache-2.0
#if Hummingbird
import Glibc
import TestSupport
import Testing

@testable import NoriaHummingbird

/// The date of a response against RFC 9110's own example, and against the C library's.
@Suite("The date in a response's head")
struct HTTPDateTests {
    /// What the C library makes of it, whose locale is "C" unless somebody sets another.
    private static func expected(_ second: Int) -> String {
        var time = second
        var parts = tm()
        gmtime_r(&time, &parts)
        var text = [CChar](repeating: 0, count: 64)
        let count = strftime(&text, text.count, "%a, %d %b %Y %H:%M:%S GMT", &parts)
        return String(decoding: text[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    @Test(
        "Known moments have known names",
        arguments: [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (946_684_799, "Fri, 31 Dec 1999 23:59:59 GMT"),
            (946_684_800, "Sat, 01 Jan 2000 00:00:00 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ]
    )
    func known(second: Int, text: String) {
        #expect(HTTPDate.text(second) == text)
        #expect(Self.expected(second) == text)
    }

    @Test(
        "Every day of 1970 to 2105, and 1,000 moments up to 9999, are named as the C library does"
    )
    func asTheLibrary() {
        for day in 0..<49_500 {
            let second = day * 86_400 + 86_399
            guard HTTPDate.text(second) == Self.expected(second) else {
                Issue.record("\(second): \(HTTPDate.text(second)), not \(Self.expected(second))")
                return
            }
        }
        for _ in 0..<1000 {
            let second = Int.random(in: 0...253_402_300_799)
            #expect(HTTPDate.text(second) == Self.expected(second), "\(second)")
        }
    }

    @Test("The present date is the one of the second before or after it was asked for")
    func present() {
        let before = time(nil)
        let now = HTTPDate.now
        let after = time(nil)
        #expect((before...after).contains { HTTPDate.text($0) == now }, "\(now)")
    }
}
#endif
