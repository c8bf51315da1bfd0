// SPDX-License-Identifier: Apache-2.0

/// The waits of one window, of which the median is wanted.
///
/// At most 512 are kept: when they are full every second goes, and from then on only every second
/// that comes is taken, and so on.
struct WaitSamples {
    private var samples: [UInt64] = []
    private var stride = 1
    private var skipped = 0
    private static let capacity = 512

    mutating func add(_ nanoseconds: UInt64) {
        skipped += 1
        guard skipped >= stride else { return }
        skipped = 0
        if samples.count == Self.capacity {
            samples = Swift.stride(from: 1, to: samples.count, by: 2).map { samples[$0] }
            stride *= 2
        }
        samples.append(nanoseconds)
    }

    /// Takes all and begins anew; `headAge` counts as one of them.
    mutating func takeMedian(with headAge: UInt64?) -> UInt64 {
        defer { self = Self() }
        let all = (samples + (headAge.map { [$0] } ?? [])).sorted()
        return all.isEmpty ? 0 : all[all.count / 2]
    }
}
