// SPDX-License-Identifier: Apache-2.0
import Noria
import NoriaSystem
import Synchronization

/// A load on the pool for blocking calls, watched from the loop.
final class Offload: Sendable {
    private let period: Duration
    private let job: Duration
    private let length: Duration
    private let computes: Bool
    /// What the pool had decided by the last line.
    private let told = Mutex<String?>(nil)
    private let result = Mutex(OffloadResult())
    /// Waits that ended in the last fifth of the run.
    private let lateWaits = Mutex<[Double]>([])
    private let lateness = Mutex<[Double]>([])

    init(
        period: Duration,
        job: Duration,
        length: Duration,
        computes: Bool
    ) {
        self.period = period
        self.job = job
        self.length = length
        self.computes = computes
    }

    func run(on runtime: Runtime) async throws {
        let pool = runtime.blocking
        result.withLock { $0.limitStart = pool.snapshot().threadLimit }
        let begin = ContinuousClock.now
        let end = begin + length
        let ticker = runtime.spawn(name: "lateness") { try await self.watchLoop(until: end) }
        let lines = runtime.spawn(name: "progress", every: .seconds(1)) {
            self.tell(pool.snapshot(), ContinuousClock.now - begin)
        }
        try await feed(pool, from: begin, until: end)
        lines.cancel()
        await ticker.finished()
        let snapshot = pool.snapshot()
        let (late, lateness) = (lateWaits.withLock { $0 }, lateness.withLock { $0 })
        let text = result.withLock { result in
            result.note(snapshot)
            result.limitEnd = snapshot.threadLimit
            result.waitP50Ms = snapshot.wait.p50 * 1000
            result.waitP99Ms = snapshot.wait.p99 * 1000
            result.waitP50LastMs = late.quantile(0.5) * 1000
            result.loopDelayP99Ms = lateness.quantile(0.99) * 1000
            return result.json
        }
        Thread.write(text + "\n", to: 1)
    }

    /// Calls in time, whatever becomes of those before; the calls of the last ones are cancelled
    /// at the end if they still wait.
    private func feed(
        _ pool: ThreadPool,
        from begin: ContinuousClock.Instant,
        until end: ContinuousClock.Instant
    ) async throws {
        let lateFrom = begin + length * 0.8
        await withDiscardingTaskGroup { group in
            var next = begin
            while next < end, !Task.isCancelled {
                try? await Task.sleep(until: next, clock: .continuous)
                next += period
                group.addTask { [job, computes] in
                    let called = ContinuousClock.now
                    let begun = try? await pool.run(name: "offloaded") {
                        let begun = ContinuousClock.now
                        if computes {
                            Self.compute(for: job)
                        } else {
                            Thread.sleep(nanoseconds: job.nanoseconds)
                        }
                        return begun
                    }
                    guard let begun, begun >= lateFrom else { return }
                    self.lateWaits.withLock { $0.append(called.duration(to: begun).seconds) }
                }
            }
            group.cancelAll()
        }
    }

    /// Computes until the thread has used so much processor time, however long that takes.
    private static func compute(for length: Duration) {
        let end = ThreadUsage.current.processorNanoseconds + UInt64(length.nanoseconds)
        var value: UInt64 = 1
        while ThreadUsage.current.processorNanoseconds < end {
            for _ in 0..<2_000 { value = value &* 6_364_136_223_846_793_005 &+ 1 }
        }
        blackHole.store(value, ordering: .relaxed)
    }

    private static let blackHole = Atomic<UInt64>(0)

    /// How late a timer of 1 ms is.
    private func watchLoop(until end: ContinuousClock.Instant) async throws {
        while ContinuousClock.now < end {
            let due = ContinuousClock.now + .milliseconds(1)
            try await Task.sleep(until: due, clock: .continuous)
            let late = due.duration(to: .now).seconds
            lateness.withLock { $0.append(late) }
        }
    }

    private func tell(_ pool: ThreadPoolSnapshot, _ since: Duration) {
        result.withLock { $0.note(pool) }
        let decision = told.withLock { told in
            defer { told = pool.lastDecision }
            return told == pool.lastDecision ? nil : pool.lastDecision
        }
        let text =
            "\(Int(since.seconds.rounded())) s: limit \(pool.threadLimit), threads \(pool.threadCount),"
            + " active \(pool.activeCount), queued \(pool.queueDepth + pool.heldBackCount),"
            + " wait p50 \(Self.text(pool.wait.p50)) p99 \(Self.text(pool.wait.p99)),"
            + " done \(pool.completed)"
        Thread.write(text + (decision.map { "; \($0)" } ?? "") + "\n", to: 2)
        // Once it is as large as it may be, say what would be needed.
        guard pool.threadLimit == pool.maximumThreadLimit,
            pool.offeredLoad.rounded() > Double(pool.threadLimit)
        else { return }
        Thread.write(
            "offered load \(Int(pool.offeredLoad.rounded())) threads, limit \(pool.threadLimit)\n",
            to: 2
        )
    }

    private static func text(_ seconds: Double) -> String {
        "\(Double(Int(seconds * 10_000)) / 10) ms"
    }
}

/// What a run of `noria offload` ends with.
struct OffloadResult: Decodable, Sendable {
    var limitStart = 0
    var limitEnd = 0
    var limitMax = 0
    var waitP50Ms = 0.0
    var waitP99Ms = 0.0
    var waitP50LastMs = 0.0
    var queueDepthMax = 0
    var refused: UInt64 = 0
    var completed: UInt64 = 0
    var loopDelayP99Ms = 0.0

    mutating func note(_ pool: ThreadPoolSnapshot) {
        limitMax = max(limitMax, pool.threadLimit)
        queueDepthMax = max(queueDepthMax, pool.queueDepth)
        (refused, completed) = (pool.refused, pool.completed)
    }

    /// The keys are an interface.
    var json: String {
        let members = [
            "\"limitStart\": \(limitStart)", "\"limitEnd\": \(limitEnd)",
            "\"limitMax\": \(limitMax)",
            "\"waitP50Ms\": \(waitP50Ms.rounded(toPlaces: 3))",
            "\"waitP99Ms\": \(waitP99Ms.rounded(toPlaces: 3))",
            "\"waitP50LastMs\": \(waitP50LastMs.rounded(toPlaces: 3))",
            "\"queueDepthMax\": \(queueDepthMax)",
            "\"refused\": \(refused)", "\"completed\": \(completed)",
            "\"loopDelayP99Ms\": \(loopDelayP99Ms.rounded(toPlaces: 3))",
        ]
        return "{\(members.joined(separator: ", "))}"
    }
}

extension Double {
    func rounded(toPlaces places: Int) -> Double {
        let scale = (0..<places).reduce(1.0) { scale, _ in scale * 10 }
        return (self * scale).rounded() / scale
    }
}

extension [Double] {
    func quantile(_ share: Double) -> Double {
        isEmpty ? 0 : sorted()[Swift.min(count - 1, Int(Double(count) * share))]
    }
}

extension Duration {
    var seconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds) + Double(attoseconds) / 1e18
    }
}
