// SPDX-License-Identifier: Apache-2.0

/// Lets one report through in a time, and counts those that it holds back.
struct ReportLimit {
    private let nanoseconds: UInt64
    private var last: UInt64?
    private var heldBackCount = 0

    init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    /// How many were held back since the last report, if this one may go through; else nil.
    mutating func admit(_ now: UInt64) -> Int? {
        if let last, now &- last < nanoseconds {
            heldBackCount += 1
            return nil
        }
        defer { (last, heldBackCount) = (now, 0) }
        return heldBackCount
    }
}
