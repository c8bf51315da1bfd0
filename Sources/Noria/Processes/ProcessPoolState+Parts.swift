// SPDX-License-Identifier: Apache-2.0

/// Deaths that follow each other: how long nothing is started after the next.
///
/// DESIGN §7: after three in five seconds the pool says so, and rests.
struct Trouble {
    private var deaths: [UInt64] = []
    private var restCount: UInt64 = 0

    static let window: UInt64 = 5_000_000_000
    static let deathLimit = 3
    static let pause: UInt64 = 100_000_000
    static let shortestRest: UInt64 = 1_000_000_000
    static let longestRest: UInt64 = 30_000_000_000

    var isEmpty: Bool { deaths.isEmpty && restCount == 0 }

    /// Nanoseconds: none after the first, 100 ms after the second, then rests of 1 s and twice as
    /// long each time, up to 30 s.
    mutating func note(at now: UInt64) -> UInt64 {
        deaths.removeAll { now &- $0 > Self.window }
        deaths.append(now)
        // After a rest each death begins the next.
        guard deaths.count >= Self.deathLimit || restCount > 0 else {
            return deaths.count == 1 ? 0 : Self.pause
        }
        deaths = []
        restCount += 1
        return min(Self.shortestRest << min(restCount - 1, 10), Self.longestRest)
    }
}

/// Calls in their order, each of which may leave from wherever it stands.
struct CallQueue {
    private var calls: [UInt64] = []
    private var start = 0
    private var present: Set<UInt64> = []

    var count: Int { present.count }
    var isEmpty: Bool { present.isEmpty }

    mutating func append(_ call: UInt64) {
        // Those that have left still stand here: never more than those that have not.
        if calls.count > 64, calls.count > 2 * present.count {
            calls = calls[start...].filter { present.contains($0) }
            start = 0
        }
        calls.append(call)
        present.insert(call)
    }

    mutating func popFirst() -> UInt64? {
        while start < calls.count {
            start += 1
            if present.remove(calls[start - 1]) != nil { return calls[start - 1] }
        }
        (calls, start) = ([], 0)
        return nil
    }

    mutating func remove(_ call: UInt64) -> Bool { present.remove(call) != nil }

    mutating func removeAll() -> [UInt64] {
        defer { (calls, start, present) = ([], 0, []) }
        return calls[start...].filter { present.contains($0) }
    }
}
