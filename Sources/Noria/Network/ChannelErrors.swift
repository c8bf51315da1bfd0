// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaEngine
internal import NoriaSystem

/// Tells some of the errors that reach the end of an adapter's channel: mostly they are the peer's
/// doing, and whoever is hostile could fill a disk with them.
///
/// Any thread.
final class ChannelErrors: Sendable {
    private let reports = Guarded(ReportLimit(nanoseconds: 5_000_000_000))

    func report(_ now: UInt64) -> Int? { reports.withLock { $0.admit(now) } }
}

extension Runtime {
    /// Counts an error that no handler of a channel has taken, and logs it unless one was just now.
    ///
    /// On the thread of `loop`.
    package func noteUnhandled(
        _ error: any Error,
        of channel: @autoclosure () -> String,
        on loop: EventLoop
    ) {
        loop.count(\.unhandledErrors)
        guard let heldBack = channelErrors.report(MonotonicClock.now) else { return }
        let count = heldBack > 0 ? " (and \(heldBack) others since the last report)" : ""
        configuration.logger.warning("\(channel()): no handler took an error: \(error)\(count)")
    }
}
