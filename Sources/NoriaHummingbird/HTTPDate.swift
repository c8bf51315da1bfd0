// SPDX-License-Identifier: Apache-2.0
#if Hummingbird
internal import FoundationEssentials
internal import NoriaSystem

/// The date as a response's head has it: RFC 9110, `Sun, 06 Nov 1994 08:49:37 GMT`.
enum HTTPDate {
    private static let present = Guarded<(second: Int, text: String)>((-1, ""))

    /// Of this second; the text is made once in it.
    static var now: String {
        let second = Int(Date.now.timeIntervalSince1970)
        return present.withLock { present in
            if present.second != second { present = (second, text(second)) }
            return present.text
        }
    }

    private static let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// Of a second since 1970, none of which was before.
    static func text(_ second: Int) -> String {
        let (day, time) = (second / 86_400, second % 86_400)
        let (year, month, dayOfMonth) = date(ofDay: day)
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        let clock = "\(two(time / 3600)):\(two(time / 60 % 60)):\(two(time % 60))"
        return "\(days[day % 7]), \(two(dayOfMonth)) \(months[month - 1]) \(year) \(clock) GMT"
    }

    /// The civil date of a day since 1970, by years that begin in March: the leap day is the last.
    private static func date(ofDay day: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = day + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (year, month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
    }
}
#endif
