// SPDX-License-Identifier: Apache-2.0
internal import Synchronization

/// How often lengths of time were seen: counts in buckets a sixteenth of an octave wide, so that a
/// value read from it is at most 6.3 % too large.
///
/// One writer at a time, any reader: a reader sees each count as of some moment, and stops nobody.
///
/// SAFETY (`@unchecked Sendable`): the memory is reached by atomics alone, and lives with the object.
final class Histogram: @unchecked Sendable {
    private static let subBits = 4
    private static let bucketCount = (64 - subBits + 1) << subBits

    private let counts: UnsafeMutablePointer<Atomic<UInt64>>
    private let sum = Atomic<UInt64>(0)
    private let largest = Atomic<UInt64>(0)

    init() {
        counts = .allocate(capacity: Self.bucketCount)
        for index in 0..<Self.bucketCount { (counts + index).initialize(to: Atomic(0)) }
    }

    deinit {
        counts.deinitialize(count: Self.bucketCount)
        counts.deallocate()
    }

    /// Notes a length in nanoseconds.
    ///
    /// The writer alone.
    func record(_ nanoseconds: UInt64) {
        let bucket = counts + Self.bucket(of: nanoseconds)
        bucket.pointee.store(bucket.pointee.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
        sum.store(sum.load(ordering: .relaxed) &+ nanoseconds, ordering: .relaxed)
        if nanoseconds > largest.load(ordering: .relaxed) {
            largest.store(nanoseconds, ordering: .relaxed)
        }
    }

    /// Begins anew.
    ///
    /// The writer alone.
    func reset() {
        for index in 0..<Self.bucketCount { counts[index].store(0, ordering: .relaxed) }
        sum.store(0, ordering: .relaxed)
        largest.store(0, ordering: .relaxed)
    }

    /// The sum of all lengths, in nanoseconds.
    ///
    /// Any thread.
    var total: UInt64 { sum.load(ordering: .relaxed) }

    static func bucket(of value: UInt64) -> Int {
        guard value >= 1 << subBits else { return Int(value) }
        let shift = 63 - value.leadingZeroBitCount - subBits
        return (shift + 1) << subBits + Int(value >> UInt64(shift)) & (1 << subBits - 1)
    }

    /// The largest value that falls into a bucket.
    static func limit(of bucket: Int) -> UInt64 {
        guard bucket >= 1 << subBits else { return UInt64(bucket) }
        let shift = UInt64(bucket >> subBits - 1)
        let base = UInt64(bucket & (1 << subBits - 1) | 1 << subBits)
        return base << shift | (1 << shift - 1)
    }

    /// What was seen so far.
    ///
    /// Any thread.
    func snapshot() -> HistogramSnapshot {
        Self.summary(of: contents, largest: largest.load(ordering: .relaxed))
    }

    /// What was seen since `before`, which becomes what has been seen by now.
    ///
    /// Any thread.
    func change(since before: inout Contents) -> Contents {
        let now = contents
        defer { before = now }
        // A run that has begun anew begins at nothing: no count of one that goes on falls.
        let goesOn =
            before.counts.count == now.counts.count
            && zip(before.counts, now.counts).allSatisfy { $0 <= $1 } && before.sum <= now.sum
        guard goesOn else { return now }
        return Contents(
            counts: zip(now.counts, before.counts).map { $0 &- $1 },
            sum: now.sum &- before.sum
        )
    }

    /// All of them together; the largest value is that of a bucket.
    static func summary(of parts: [Contents]) -> HistogramSnapshot {
        var all = Contents(counts: [UInt64](repeating: 0, count: bucketCount))
        for part in parts {
            all.sum &+= part.sum
            for (index, count) in part.counts.enumerated() { all.counts[index] &+= count }
        }
        let last = all.counts.lastIndex { $0 > 0 }
        return summary(of: all, largest: last.map(limit) ?? 0)
    }

    /// Its numbers at one moment.
    struct Contents {
        var counts: [UInt64] = []
        var sum: UInt64 = 0
    }

    private var contents: Contents {
        Contents(
            counts: (0..<Self.bucketCount).map { counts[$0].load(ordering: .relaxed) },
            sum: sum.load(ordering: .relaxed)
        )
    }

    private static func summary(of contents: Contents, largest: UInt64) -> HistogramSnapshot {
        let counts = contents.counts
        let total = counts.reduce(0, &+)
        func quantile(_ share: Double) -> Double {
            guard total > 0 else { return 0 }
            let rank = max(1, UInt64((Double(total) * share).rounded(.up)))
            var seen: UInt64 = 0
            for (bucket, count) in counts.enumerated() where count > 0 {
                seen += count
                if seen >= rank { return Double(min(limit(of: bucket), largest)) / 1e9 }
            }
            return Double(largest) / 1e9
        }
        let mean = total == 0 ? 0 : Double(contents.sum) / Double(total) / 1e9
        return HistogramSnapshot(
            count: total,
            mean: mean,
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            max: Double(largest) / 1e9
        )
    }
}

/// Lengths of time that were seen, in seconds; the quantiles are at most 6.3 % too large.
public struct HistogramSnapshot: Codable, Sendable, Hashable {
    /// How many.
    public let count: UInt64
    /// Their mean; 0 when there are none, as all that follows.
    public let mean: Double
    /// What half of them did not exceed.
    public let p50: Double
    /// What 90 % of them did not exceed.
    public let p90: Double
    /// What 99 % of them did not exceed.
    public let p99: Double
    /// The largest.
    public let max: Double
}
