// SPDX-License-Identifier: Apache-2.0

/// Lets so many reports through in any span of time, and counts those that it holds back.
struct ReportLimit {
    private let count: Int
    private let nanoseconds: UInt64
    /// When the last `count` were let through, from the oldest at `next` on, round the end.
    private var times: [UInt64] = []
    private var next = 0
    private var heldBackCount = 0

    init(count: Int = 1, nanoseconds: UInt64) {
        self.count = count
        self.nanoseconds = nanoseconds
    }

    /// How many were held back since the last report, if this one may go through; else nil.
    mutating func admit(_ now: UInt64) -> Int? {
        if times.count < count {
            times.append(now)
        } else {
            guard count > 0, isOver(times[next], now) else {
                heldBackCount += 1
                return nil
            }
            times[next] = now
            next = (next + 1) % count
        }
        defer { heldBackCount = 0 }
        return heldBackCount
    }

    /// A clock that was read before another thread's may be behind it.
    private func isOver(_ time: UInt64, _ now: UInt64) -> Bool {
        now > time && now - time >= nanoseconds
    }
}
