// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem

/// What a pool has counted, under its lock.
struct PoolCounts {
    var load = OfferedLoad()
    var completions: UInt64 = 0
    var refused: UInt64 = 0
    var cancelled: UInt64 = 0
    var abandoned: UInt64 = 0
    var refusedThreads: UInt64 = 0
    /// Jobs of more than 50 ms that computed for four fifths of it and more.
    var computing: UInt64 = 0
    /// Their names, each told once; the first 64.
    var computingNames: Set<String> = []
    /// Of looks at threads that had run for a while: what they had used, and how long that took.
    var processorNanoseconds: UInt64 = 0
    var involuntarySwitches: UInt64 = 0
    var lookedAtNanoseconds: UInt64 = 0
    var lookedAtJobs: UInt64 = 0
}

/// How many threads the calls would keep busy that come: Little's law over the last 5 to 10 s.
struct OfferedLoad {
    private struct Bucket {
        var begin: UInt64 = 0
        var arrivals = 0
        var runs = 0
        var runNanoseconds: UInt64 = 0
    }

    private var present = Bucket()
    private var last = Bucket()
    private static let nanoseconds: UInt64 = 5_000_000_000

    private mutating func turn(_ now: UInt64) {
        guard now &- present.begin >= Self.nanoseconds, now > present.begin else { return }
        // After a gap the last bucket is of another time.
        last = now &- present.begin >= 2 * Self.nanoseconds ? Bucket(begin: now) : present
        present = Bucket(begin: now)
    }

    mutating func arrived(_ now: UInt64) {
        turn(now)
        present.arrivals += 1
    }

    mutating func ran(_ nanoseconds: UInt64, _ now: UInt64) {
        turn(now)
        present.runs += 1
        present.runNanoseconds += nanoseconds
    }

    /// Arrivals a second times the mean time that one runs.
    mutating func threads(_ now: UInt64) -> Double {
        turn(now)
        let begin = last.begin > 0 ? last.begin : present.begin
        let runs = last.runs + present.runs
        // A first tenth of a second says nothing of a rate.
        guard runs > 0, now > begin + 100_000_000 else { return 0 }
        let rate = Double(last.arrivals + present.arrivals) / Double(now - begin)
        return rate * Double(last.runNanoseconds + present.runNanoseconds) / Double(runs)
    }
}

/// A stretch of 100 ms in which somebody waits.
struct PoolWindow {
    private(set) var isOpen = false
    /// Nil until the watch has looked at what the threads have used.
    var began: UInt64?
    var completions = 0
    var involuntarySwitches: UInt64 = 0

    /// True when it was closed: then the watch is to be roused.
    mutating func open() -> Bool {
        defer { isOpen = true }
        return !isOpen
    }

    mutating func restart(_ now: UInt64) {
        self = Self()
        isOpen = true
        began = now
    }

    mutating func close() { self = Self() }
}

/// A job that has been run.
struct Finished {
    let job: PoolJob
    let end: UInt64
    let nanoseconds: UInt64
    /// What the thread has used since its last look, when it has looked again.
    let usage: (processor: UInt64, switches: UInt64, nanoseconds: UInt64)?

    /// A look costs a system call: one for every 5 ms of work.
    private static let lookNanoseconds: UInt64 = 5_000_000

    /// The thread's own.
    init(_ job: PoolJob, from begin: UInt64, on thread: PoolThread) {
        self.job = job
        end = MonotonicClock.now
        nanoseconds = end &- begin
        thread.runSinceLook += nanoseconds
        guard thread.runSinceLook >= Self.lookNanoseconds else {
            usage = nil
            return
        }
        let (before, now) = (thread.usage, ThreadUsage.current)
        usage = (
            now.processorNanoseconds &- before.processorNanoseconds,
            now.involuntarySwitches &- before.involuntarySwitches,
            thread.runSinceLook
        )
        thread.usage = now
        thread.runSinceLook = 0
    }

    /// Whether it was long, and computed: what ran before it since the last look was short.
    var hasComputed: Bool {
        guard nanoseconds > 50_000_000, let usage else { return false }
        return Double(usage.processor) > 0.8 * Double(nanoseconds)
    }
}

extension ThreadPool {
    /// Takes a finished job into account; what is to be logged of it.
    ///
    /// Under the lock.
    func note(_ finished: Finished, _ thread: PoolThread, _ state: inout State) -> String? {
        state.activeCount -= 1
        state.lastProgress = finished.end
        thread.job = nil
        state.counts.completions += 1
        state.window.completions += 1
        state.counts.lookedAtJobs += 1
        runs.record(finished.nanoseconds)
        state.counts.load.ran(finished.nanoseconds, finished.end)
        if let usage = finished.usage {
            state.counts.processorNanoseconds += usage.processor
            state.counts.involuntarySwitches += usage.switches
            state.counts.lookedAtNanoseconds += usage.nanoseconds
            state.window.involuntarySwitches += usage.switches
        }
        guard finished.hasComputed, configuration.niceness == 0 else { return nil }
        state.counts.computing += 1
        let name = finished.job.name
        guard state.counts.computingNames.count < 64,
            state.counts.computingNames.insert(name).inserted
        else { return nil }
        let length = finished.nanoseconds / 1_000_000
        return
            "pool \(self.name): job '\(name)' computed for most of its \(length) ms: that keeps a"
            + " thread from what waits; 'runtime.compute' or 'runtime.processes' is the place for it"
    }
}
