// SPDX-License-Identifier: Apache-2.0
import Noria
import NoriaSystem

/// Counts primes, sends a text back; or ends its worker.
struct WorkCall: ProcessPool.Call {
    enum Fate: Int, Codable { case work, trap, kill }

    struct Answer: Codable, Equatable {
        var number: Int
        var primeCount: Int
        var text: String
    }

    var number: Int
    var fate: Fate
    var text: String

    /// A kibibyte.
    static let text = String(repeating: "0123456789abcdef", count: 64)
    static let limit = 2000

    func run() -> Answer {
        switch fate {
        case .work: break
        case .trap: preconditionFailure("call \(number) traps on purpose")
        case .kill: SignalInbox.endProcess(by: 9)
        }
        return Answer(number: number, primeCount: Self.primeCount(below: Self.limit), text: text)
    }

    static func primeCount(below limit: Int) -> Int {
        var isComposite = [Bool](repeating: false, count: limit)
        var count = 0
        for number in 2..<limit where !isComposite[number] {
            count += 1
            for multiple in stride(from: number * number, to: limit, by: number) {
                isComposite[multiple] = true
            }
        }
        return count
    }
}

/// What came of the calls.
struct WorkTally: Sendable {
    var calls = 0
    var results = 0
    var errors = 0
    /// Answers that were another call's, or wrong.
    var wrong = 0
    var deaths: UInt64 = 0
    var replaced: UInt64 = 0

    var lost: Int { calls - results - errors }

    func json(zombies: Int) -> String {
        "{\"calls\":\(calls),\"results\":\(results),\"errors\":\(errors),\"deaths\":\(deaths),"
            + "\"replaced\":\(replaced),\"lost\":\(lost),\"zombies\":\(zombies)}"
    }
}

/// Makes the calls, a few at a time, and counts.
struct WorkRun: Sendable {
    private let runtime: Runtime
    private let limit: Int
    private let crashRate: Double
    private let tally = Guarded(WorkTally())

    init(_ runtime: Runtime, calls: Int, crashRate: Double) {
        self.runtime = runtime
        limit = calls
        self.crashRate = crashRate
    }

    private var pool: ProcessPool { runtime.processes }

    func run() async -> WorkTally {
        await withTaskGroup(of: Void.self) { group in
            let progress = runtime.spawn(name: "progress", every: .seconds(1)) { show() }
            // Twice as many as workers, so that one always waits where one is free.
            for _ in 0..<2 * pool.configuration.workerCount {
                group.addTask { await makeCalls() }
            }
            await group.waitForAll()
            progress.cancel()
        }
        await waitForReplacements()
        show()
        let snapshot = pool.snapshot()
        return tally.withLock { tally in
            (tally.deaths, tally.replaced) = (snapshot.deaths, snapshot.replacements)
            return tally
        }
    }

    private func makeCalls() async {
        let right = WorkCall.primeCount(below: WorkCall.limit)
        while runtime.shutdown.phase == .running, let number = takeNumber() {
            let call = WorkCall(number: number, fate: fate(), text: WorkCall.text)
            do {
                let answer = try await pool.run(call)
                let expected = WorkCall.Answer(
                    number: number,
                    primeCount: right,
                    text: WorkCall.text
                )
                tally.withLock { if answer == expected { $0.results += 1 } else { $0.wrong += 1 } }
            } catch {
                tally.withLock { $0.errors += 1 }
                await pauseWhileResting()
            }
        }
    }

    private func takeNumber() -> Int? {
        tally.withLock { tally in
            guard tally.calls < limit else { return nil }
            tally.calls += 1
            return tally.calls
        }
    }

    private func fate() -> WorkCall.Fate {
        guard Double.random(in: 0..<1) < crashRate else { return .work }
        return Bool.random() ? .trap : .kill
    }

    /// A pool that rests refuses: whoever asks again at once has all calls refused, and whoever waits
    /// for the rest's end makes two calls a minute when each of them ends its worker.
    private func pauseWhileResting() async {
        let snapshot = pool.snapshot()
        guard snapshot.isResting, snapshot.workerCount == 0 else { return }
        try? await runtime.clock.sleep(for: .milliseconds(100))
    }

    /// The last dead worker may be owed still: a pause stands before its successor.
    private func waitForReplacements() async {
        for _ in 0..<400 {
            let snapshot = pool.snapshot()
            guard snapshot.replacements < snapshot.deaths, !snapshot.isResting else { return }
            guard (try? await runtime.clock.sleep(for: .milliseconds(5))) != nil else { return }
        }
    }

    private func show() {
        let (tally, pool) = (tally.withLock { $0 }, pool.snapshot())
        let (p50, p99) = (Int(pool.roundTrip.p50 * 1e6), Int(pool.roundTrip.p99 * 1e6))
        Thread.write(
            "\(tally.calls) of \(limit) calls: \(tally.results) results, \(tally.errors) errors;"
                + " \(pool.workerCount) workers, \(pool.busyCount) busy, \(pool.deaths) deaths,"
                + " \(pool.replacements) replaced, round trip p50 \(p50) us, p99 \(p99) us"
                + (pool.isResting ? ", resting\n" : "\n"),
            to: 2
        )
    }
}
