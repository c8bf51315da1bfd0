// SPDX-License-Identifier: Apache-2.0

/// Lets some reports through in each window of time, and counts those that it holds back.
struct ReportWindow {
    private let limit: Int
    private let nanoseconds: UInt64
    private var begin: UInt64?
    private var admittedCount = 0
    private var heldBackCount = 0

    init(count: Int, nanoseconds: UInt64) {
        limit = count
        self.nanoseconds = nanoseconds
    }

    /// How many were held back since the last that was let through, if this one is; else nil.
    mutating func admit(_ now: UInt64) -> Int? {
        // A clock that was read before another thread's stands in that one's window.
        if let begin, now < begin || now - begin < nanoseconds {
            guard admittedCount < limit else {
                heldBackCount += 1
                return nil
            }
        } else {
            (begin, admittedCount) = (now, 0)
        }
        admittedCount += 1
        defer { heldBackCount = 0 }
        return heldBackCount
    }
}
