// SPDX-License-Identifier: Apache-2.0
internal import CNoria

/// The clock of timers and waits: nanoseconds of CLOCK_MONOTONIC.
///
/// It is a plain number because it is compared on every turn; the public API speaks `Duration`
/// and `ContinuousClock.Instant`.
package enum MonotonicClock {
    /// Reads the clock: about 27 ns, so a loop reads it a few times a turn and no more.
    package static var now: UInt64 { noria_now() }
}

extension Duration {
    /// The length in nanoseconds, negative ones as 0, those beyond 292 years as the largest.
    package var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        guard !overflow else { return .max }
        // Rounded up: a wait that ends early would make a timer fire early.
        let rest = (attoseconds + 999_999_999) / 1_000_000_000
        let (sum, carried) = product.addingReportingOverflow(rest)
        return carried ? .max : sum
    }
}
