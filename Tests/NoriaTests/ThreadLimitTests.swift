// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Noria

/// A pool without threads, on a clock of its own: a step a millisecond.
private struct SimulatedPool {
    var limit: ThreadLimit
    /// How long a job keeps its thread.
    let jobMilliseconds: Double
    /// Whether it computes all that time: then the threads share the processors.
    let computes: Bool
    var steps: [(second: Double, step: ThreadLimit.Step)] = []
    var waits: [(second: Double, wait: Double)] = []
    var completions = 0
    var threadCount = 0

    private var now: UInt64 = 1_000_000_000
    private var queue: [UInt64] = []
    private var left: [Double] = []
    private var samples = WaitSamples()
    private var windowBegan: UInt64?
    private var window = (completions: 0, computed: 0.0, switches: 0)
    private var owed = 0.0

    init(
        start: Int,
        maximum: Int,
        processors: Int = 2,
        jobMilliseconds: Double,
        computes: Bool = false
    ) {
        limit = ThreadLimit(start: start, maximum: maximum, processors: processors)
        self.jobMilliseconds = jobMilliseconds
        self.computes = computes
    }

    var seconds: Double { Double(now - 1_000_000_000) / 1e9 }

    mutating func run(seconds: Double, jobsPerSecond: Double) {
        for _ in 0..<Int(seconds * 1000) {
            now += 1_000_000
            owed += jobsPerSecond / 1000
            while owed >= 1 {
                queue.append(now)
                owed -= 1
            }
            work()
            take()
            look()
        }
    }

    private mutating func work() {
        // Each thread gets its share of a processor, and is pushed off it by the others.
        let share = computes ? min(1, Double(limit.processors) / Double(max(1, left.count))) : 1
        if computes {
            window.computed += Double(left.count) * share
            window.switches += left.count > limit.processors ? 1 : 0
        }
        for index in left.indices { left[index] -= share }
        let before = left.count
        left.removeAll { $0 <= 0 }
        completions += before - left.count
        window.completions += before - left.count
    }

    private mutating func take() {
        threadCount = min(threadCount, max(limit.limit, left.count))
        while let head = queue.first {
            if left.count >= threadCount {
                guard limit.wantsThread(threadCount: threadCount, headAge: now - head) else {
                    return
                }
                threadCount += 1
            }
            queue.removeFirst()
            samples.add(now - head)
            waits.append((seconds, Double(now - head) / 1e9))
            left.append(jobMilliseconds)
        }
    }

    private mutating func look() {
        guard let began = windowBegan else {
            guard !queue.isEmpty else { return }
            windowBegan = now
            limit.beginWatching()
            window = (0, 0, 0)
            return
        }
        guard now - began >= ThreadLimit.windowNanoseconds else { return }
        let step = limit.close(
            ThreadLimit.Window(
                now: now,
                length: now - began,
                medianWait: samples.takeMedian(with: queue.first.map { now - $0 }),
                depth: queue.count,
                completions: window.completions,
                processorNanoseconds: UInt64(window.computed * 1e6),
                involuntarySwitches: UInt64(window.switches),
                threadCount: threadCount
            )
        )
        if let step { steps.append((seconds, step)) }
        window = (0, 0, 0)
        windowBegan = queue.isEmpty && !limit.isJudging ? nil : now
    }

    func medianWait(after second: Double) -> Double {
        let late = waits.filter { $0.second >= second }.map(\.wait).sorted()
        return late.isEmpty ? 0 : late[late.count / 2]
    }
}

@Suite("A pool's limit")
struct ThreadLimitTests {
    @Test("30 jobs a second of 0.2 s: 6 to 8 threads within 3 s, then nobody waits")
    func steady() {
        var pool = SimulatedPool(start: 2, maximum: 32, jobMilliseconds: 200)
        pool.run(seconds: 30, jobsPerSecond: 30)
        #expect((6...8).contains(pool.limit.limit), "\(pool.steps)")
        #expect(pool.steps.allSatisfy { $0.second <= 3 }, "\(pool.steps)")
        #expect(pool.medianWait(after: 3) < 0.05)
    }

    @Test("100 a second need 20: there within 15 s")
    func more() {
        var pool = SimulatedPool(start: 8, maximum: 32, jobMilliseconds: 200)
        pool.run(seconds: 30, jobsPerSecond: 100)
        #expect(pool.limit.limit >= 20, "\(pool.steps)")
        #expect(pool.limit.limit <= 28, "\(pool.steps)")
        #expect(pool.medianWait(after: 15) < 0.05, "\(pool.steps)")
    }

    @Test("jobs that compute take the limit down to the processors, and say why")
    func computing() {
        var pool = SimulatedPool(start: 8, maximum: 32, jobMilliseconds: 20, computes: true)
        pool.run(seconds: 20, jobsPerSecond: 200)
        #expect((2...8).contains(pool.limit.limit), "\(pool.steps)")
        #expect(pool.limit.limit <= 4, "\(pool.steps)")
        #expect(pool.steps.contains { $0.step.reason.contains("runtime.compute") })
        let highest = pool.steps.map(\.step.to).max() ?? 0
        #expect(highest <= 10, "\(pool.steps)")
        #expect(Double(pool.completions) >= 0.95 * 20 * 100)
    }

    @Test("a maximum is a maximum, and one that is the start moves nothing")
    func maximum() {
        var pool = SimulatedPool(start: 2, maximum: 8, jobMilliseconds: 200)
        pool.run(seconds: 30, jobsPerSecond: 100)
        #expect(pool.limit.limit == 8)
        var fixed = SimulatedPool(start: 8, maximum: 8, jobMilliseconds: 20, computes: true)
        fixed.run(seconds: 10, jobsPerSecond: 400)
        #expect(fixed.limit.limit == 8)
        #expect(fixed.steps.isEmpty)
    }

    @Test("without a wait nothing grows; a short burst takes no step")
    func quiet() {
        var pool = SimulatedPool(start: 8, maximum: 32, jobMilliseconds: 20)
        pool.run(seconds: 10, jobsPerSecond: 100)
        #expect(pool.steps.isEmpty)
    }

    @Test("threads below the number of processors come at once, others for a head of 5 ms")
    func patience() {
        let limit = ThreadLimit(start: 8, maximum: 32, processors: 2)
        #expect(limit.wantsThread(threadCount: 1, headAge: 0))
        #expect(!limit.wantsThread(threadCount: 2, headAge: 4_999_999))
        #expect(limit.wantsThread(threadCount: 2, headAge: 5_000_000))
        #expect(!limit.wantsThread(threadCount: 8, headAge: 1_000_000_000))
    }

    @Test("a refused thread lowers the limit for good")
    func refused() {
        var pool = SimulatedPool(start: 8, maximum: 32, jobMilliseconds: 200)
        let step = pool.limit.threadRefused(5, "EAGAIN")
        #expect(step == .init(from: 8, to: 5, reason: "the system refused a thread: EAGAIN"))
        pool.run(seconds: 10, jobsPerSecond: 100)
        #expect(pool.limit.limit == 5)
        #expect(pool.limit.threadRefused(0, "EAGAIN")?.to == 1)
    }

    @Test("idle threads take the limit back to its start")
    func idle() {
        var pool = SimulatedPool(start: 8, maximum: 32, jobMilliseconds: 200)
        pool.run(seconds: 10, jobsPerSecond: 100)
        let high = pool.limit.limit
        #expect(high >= 20)
        #expect(pool.limit.threadLeft(high - 1) == nil)
        let step = pool.limit.threadLeft(8)
        #expect(step?.to == 8)
        #expect(pool.limit.threadLeft(7) == nil)
    }
}

@Suite("What a pool measures")
struct PoolMeasureTests {
    @Test("a histogram's quantiles are at most 6.3 % too large")
    func histogram() {
        let histogram = Histogram()
        #expect(histogram.snapshot().count == 0)
        for value in 1...10_000 { histogram.record(UInt64(value) * 1_000) }
        let seen = histogram.snapshot()
        #expect(seen.count == 10_000)
        #expect(abs(seen.mean - 0.0050005) < 1e-9)
        #expect(seen.max == 0.01)
        for (value, exact) in [(seen.p50, 0.005), (seen.p90, 0.009), (seen.p99, 0.0099)] {
            #expect(value >= exact && value <= exact * 1.063, "\(value) for \(exact)")
        }
    }

    @Test("every value falls into a bucket whose limit is not below it, nor much above")
    func buckets() {
        var value: UInt64 = 0
        while value < .max / 3 {
            let bucket = Histogram.bucket(of: value)
            let limit = Histogram.limit(of: bucket)
            #expect(limit >= value)
            #expect(Double(limit - value) <= Double(value) / 16)
            #expect(bucket == 0 || Histogram.limit(of: bucket - 1) < value)
            value += value / 7 + 1
        }
        #expect(Histogram.limit(of: Histogram.bucket(of: .max)) == .max)
    }

    @Test("the median counts the queue's head, and thins what is too much")
    func median() {
        var samples = WaitSamples()
        #expect(samples.takeMedian(with: nil) == 0)
        #expect(samples.takeMedian(with: 7) == 7)
        for value in [1, 9, 5] as [UInt64] { samples.add(value) }
        #expect(samples.takeMedian(with: nil) == 5)
        for value in 0..<100_000 as Range<UInt64> { samples.add(value) }
        #expect((48_000...52_000).contains(samples.takeMedian(with: nil)))
        #expect(samples.takeMedian(with: nil) == 0)
    }

    @Test("offered load is the rate times the time that a job runs")
    func offeredLoad() {
        var load = OfferedLoad()
        var now: UInt64 = 1_000_000_000_000
        #expect(load.threads(now) == 0)
        for _ in 0..<1_200 {
            load.arrived(now)
            load.ran(200_000_000, now)
            now += 10_000_000
        }
        #expect(abs(load.threads(now) - 20) < 0.5)
        // Nobody has come for a quarter of an hour.
        #expect(load.threads(now + 900_000_000_000) == 0)
    }
}
