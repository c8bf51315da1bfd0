// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem

/// Whose stalls the watchdog reports; its thread alone.
protocol Watched {
    /// As the log names it.
    var name: String { get }
    /// Its place in its group.
    var index: Int { get }
    /// The name of that, where it is none of ours.
    var group: String? { get }
    var threadID: Int32 { get }
    func throttlingNote() -> String?
}

/// A loop as the watchdog knows it; the watchdog's thread alone.
final class WatchedLoop: Watched {
    enum Finding {
        case lasting(UInt64, unreported: Int)
        case over(UInt64, wasReported: Bool)
        case saturated(String)
    }

    let loop: EventLoop
    private var judge: StallJudge
    private let delay: RunQueueDelay?
    private var turnCount: UInt64 = 0
    private var throttling = Throttling()
    private var saturation = Saturation()
    /// The last look found that the loop had not turned since the one before.
    private(set) var wasQuiet = false

    init(_ loop: EventLoop, _ configuration: RuntimeConfiguration.Diagnostics) {
        self.loop = loop
        judge = StallJudge(configuration)
        delay = RunQueueDelay(thread: loop.turnLog.threadID)
    }

    var name: String { "\(loop)" }
    var index: Int { loop.index }
    var group: String? { nil }
    var threadID: Int32 { loop.turnLog.threadID }

    func look(_ now: UInt64, pause: UInt64) -> [Finding] {
        var found = loop.turnLog.takeLongTurns().compactMap { turn in
            judge.judge(turn, pause: pause).map {
                Finding.over($0.length, wasReported: $0.wasReported)
            }
        }
        let began = loop.turnLog.turnBegan
        let look = StallJudge.Look(
            now: now,
            turnBegan: began,
            runQueueDelay: delay?.read(),
            pause: pause
        )
        if let stall = judge.look(look) {
            found.append(.lasting(stall.length, unreported: stall.unreported))
        }
        let turnCount = loop.counts.turnCount
        wasQuiet = began == 0 && turnCount == self.turnCount
        self.turnCount = turnCount
        if began == 0 || now &- began < judge.threshold {
            throttling.forget()
        } else {
            throttling.begin()
        }
        loop.turnLog.publish(judge)
        if let text = saturation.look(loop.counts.saturation, now) {
            found.append(.saturated(text))
        }
        return found
    }

    func throttlingNote() -> String? { throttling.note() }
}

extension StallJudge {
    init(_ configuration: RuntimeConfiguration.Diagnostics) {
        self.init(
            threshold: UInt64(configuration.stallThreshold.nanoseconds),
            reportThreshold: UInt64(configuration.stallReportThreshold.nanoseconds),
            reportsPerMinute: configuration.stallReportsPerMinute
        )
    }
}
