// SPDX-License-Identifier: Apache-2.0
#if NIO
public import NIOCore
public import Noria
internal import NoriaSystem

extension Runtime {
    /// Watches the loops of a group that is not Noria's, and ends the group with the runtime.
    ///
    /// For SwiftNIO's own groups that stay, as under AsyncHTTPClient:
    ///
    ///     runtime.watch(HTTPClient.defaultEventLoopGroup, name: "http client")
    ///
    /// Each loop gets a heartbeat, once in `diagnostics.stallThreshold` (100 ms; from that to 1 s),
    /// which was measured to cost it 0.06 % of a processor. The watchdog's thread reads them: a beat
    /// that is over that threshold late is counted as a stall (`RuntimeSnapshot.watchedLoops`); one
    /// that is late by `diagnostics.stallReportThreshold` (1 s) or more is reported while it lasts,
    /// in the log and to `diagnostics.onStall`, with the group's name, the loop's number and its
    /// thread's stack, and so is its end; `stallReportsPerMinute` holds for each loop. A stall is
    /// told a beat shorter than it was at most, never longer. For the stack a signal is let through
    /// to the loop's thread, and a call in which that waits may end with EINTR: see `StallStacks`.
    ///
    /// At the end of the runtime, after the drain, the body, the spawned tasks and the
    /// `onShutdown` actions that were registered after this call, the heartbeats stop and
    /// `shutdownGracefully` is called and waited for, until the deadline of the shutdown, which ends
    /// it with `ExitCode.abandoned` and the group's name in the report. No cancellation ends that
    /// wait. What it throws stands in the report; a singleton, which can't be shut down, is left as
    /// it is. So close what works on the group before, or in an `onShutdown` action.
    ///
    /// A group that somebody else shuts down before is let go, with its counts. Loops of Noria's
    /// are watched already: for them this does nothing. Call it once for each group, while that
    /// runs.
    ///
    /// Any thread.
    public func watch(_ group: any NIOCore::EventLoopGroup, name: String) {
        let loops = Array(group.makeIterator()).filter { !($0 is NoriaEventLoop) }
        guard !loops.isEmpty else { return }
        let heartbeats = watchLoops(ofGroup: name, count: loops.count)
        let kept = KeptGroup(group, loopCount: loops.count)
        for (loop, heartbeat) in zip(loops, heartbeats) {
            let beating = Beating(heartbeat, on: loop, kept)
            loop.execute { beating.begin() }
        }
        onShutdown(name: "SwiftNIO group \(name)") {
            for heartbeat in heartbeats { heartbeat.stop() }
            try await kept.shutDown()
        }
    }
}

/// A group that is to be shut down, held until all of its loops have ended.
private final class KeptGroup: Sendable {
    private let state: Guarded<(group: (any NIOCore::EventLoopGroup)?, loopCount: Int)>

    init(_ group: any NIOCore::EventLoopGroup, loopCount: Int) {
        state = Guarded((group, loopCount))
    }

    func loopHasEnded() {
        // Let go of without the lock: that may be the group's end.
        let group = state.withLock { state -> (any NIOCore::EventLoopGroup)? in
            state.loopCount -= 1
            return state.loopCount == 0 ? state.group.take() : nil
        }
        withExtendedLifetime(group) {}
    }

    func shutDown() async throws {
        guard let group = state.withLock({ $0.group.take() }) else { return }
        do { try await group.shutdownGracefully() } catch EventLoopError.unsupportedOperation {
            // SwiftNIO's singletons stay for as long as the process.
        }
    }
}

/// Keeps a heartbeat going, from the loop's own queue, which alone holds it: a loop that ends drops
/// its queue, and that is how the end is seen.
private final class Beating: Sendable {
    private let heartbeat: Heartbeat
    private let loop: any NIOCore::EventLoop
    private let kept: KeptGroup
    private let period: TimeAmount

    init(_ heartbeat: Heartbeat, on loop: any NIOCore::EventLoop, _ kept: KeptGroup) {
        self.heartbeat = heartbeat
        self.loop = loop
        self.kept = kept
        let (seconds, attoseconds) = heartbeat.period.components
        period = .nanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
    }

    deinit {
        heartbeat.end()
        kept.loopHasEnded()
    }

    func begin() { schedule(hadStacksBlocked: heartbeat.begin()) }

    private func schedule(hadStacksBlocked: Bool) {
        loop.scheduleTask(in: period) {
            if self.heartbeat.beat(hadStacksBlocked: hadStacksBlocked) {
                self.schedule(hadStacksBlocked: hadStacksBlocked)
            }
        }
    }
}
#endif
