// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaSystem
internal import Synchronization
internal import SystemPackage

/// Looks after the pools in which somebody waits: a plain thread, since a loop may be blocked, and
/// the pools' own threads are busy then.
///
/// It is started when it is first wanted, and sleeps without a tick while nobody waits. The race of
/// its going to sleep is the parker's: a rouse that comes before is kept.
final class PoolWatch: Sendable {
    private struct State {
        var pools: [ThreadPool] = []
        var thread: Thread.Joinable?
        var isEnded = false
    }

    private let state = Guarded(State())
    private let parker = Parker()
    private let logger: Logger

    init(logger: Logger) { self.logger = logger }

    func add(_ pool: ThreadPool) { state.withLock { $0.pools.append(pool) } }

    /// Those that are to be looked after: none when they have closed.
    var pools: [ThreadPool] { state.withLock { $0.isEnded ? [] : $0.pools } }

    /// All of the run, whose numbers are asked for until `forget`.
    var everyPool: [ThreadPool] { state.withLock { $0.pools } }

    /// Lets go of the pools, which hold this.
    ///
    /// The run's last act with them.
    func forget() { state.withLock { $0.pools = [] } }

    /// A window of a pool has been opened.
    ///
    /// Any thread.
    func rouse() {
        let failure = state.withLock { state -> Errno? in
            guard state.thread == nil, !state.isEnded else { return nil }
            do throws(Errno) {
                state.thread = try Thread.startJoinable { [self] in run() }
                return nil
            } catch { return error }
        }
        if let failure {
            logger.error(
                "pools: no thread to watch over them: \(failure); they don't grow meanwhile"
            )
            for pool in pools { pool.leaveUnwatched() }
        }
        parker.rouse()
    }

    /// After the pools have closed.
    func end() {
        let thread = state.withLock { state in
            state.isEnded = true
            return state.thread.take()
        }
        parker.rouse()
        thread?.join()
    }

    private func run() {
        Thread.name("noria pools")
        while true {
            let (pools, isEnded) = state.withLock { ($0.pools, $0.isEnded) }
            guard !isEnded else { return }
            let now = MonotonicClock.now
            let next = pools.compactMap { $0.look(now) }.min()
            let length = next.map { Int64(clamping: $0 > now ? $0 - now : 0) } ?? .max
            _ = parker.park(nanoseconds: length)
        }
    }
}

extension ThreadPool {
    /// What is due by now; when there is something to look at again, or nil when nobody waits.
    ///
    /// The watch alone.
    func look(_ now: UInt64) -> UInt64? {
        let found = state.withLock { state in
            var found = Found()
            guard state.window.isOpen else { return found }
            guard let began = state.window.began else {
                _ = state.takeProcessorTime()
                state.limit.beginWatching()
                state.window.restart(now)
                found.next = state.nextLook(now)
                return found
            }
            if now >= began + ThreadLimit.windowNanoseconds {
                found.step = state.closeWindow(now, length: now - began)
            }
            found.call = state.callThread(now)
            found.next = state.window.isOpen ? state.nextLook(now) : nil
            found.warning = state.overload(now) ?? state.standstill(now)
            found.suspicion = state.suspicion(now)
            return found
        }
        perform(found.call)
        log(found.step)
        if let warning = found.warning { logger.warning("pool \(name): \(warning)") }
        if let suspicion = found.suspicion { refuse(suspicion) }
        return found.next
    }

    /// What a look has found to do, outside of the lock.
    private struct Found {
        /// When to look again.
        var next: UInt64?
        var call = Call()
        var step: ThreadLimit.Step?
        var warning: String?
        var suspicion: Suspicion?
    }

    func leaveUnwatched() { state.withLock { $0.window.close() } }
}

extension ThreadPool.State {
    fileprivate mutating func closeWindow(_ now: UInt64, length: UInt64) -> ThreadLimit.Step? {
        let window = ThreadLimit.Window(
            now: now,
            length: length,
            medianWait: samples.takeMedian(with: headAge(now)),
            depth: queue.count + waiting.count,
            completions: window.completions,
            processorNanoseconds: takeProcessorTime(),
            involuntarySwitches: window.involuntarySwitches,
            threadCount: threads.count
        )
        let step = limit.close(window)
        if queue.count == 0, !limit.isJudging {
            self.window.close()
        } else {
            self.window.restart(now)
        }
        return step
    }

    /// Said once a minute while more threads would be kept busy than there may be, and the limit has
    /// nowhere to go.
    fileprivate mutating func overload(_ now: UInt64) -> String? {
        guard limit.limit == limit.maximum, (headAge(now) ?? 0) > 1_000_000_000 else { return nil }
        let load = counts.load.threads(now)
        guard load.rounded() > Double(limit.limit), overloadReport.admit(now) != nil else {
            return nil
        }
        return
            "offered load \(Int(load.rounded())) threads, limit \(limit.limit): calls wait; raise"
            + " 'maximumThreadLimit', or offer less"
    }

    /// Said once a minute while every thread there may be has been in one job for 10 s, and others
    /// wait: so it looks when jobs wait for each other.
    fileprivate mutating func standstill(_ now: UInt64) -> String? {
        guard standsStill(now), standstillReport.admit(now) != nil else { return nil }
        var names: [String: Int] = [:]
        for thread in threads { if let job = thread.job { names[job.name, default: 0] += 1 } }
        let jobs = names.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.prefix(5)
            .map { "'\($0.key)' × \($0.value)" }.joined(separator: ", ")
        return
            "no job has ended for \((now - lastProgress) / 1_000_000_000) s and \(queue.count) wait;"
            + " its \(activeCount) threads run \(jobs); a job that waits for another of its own pool"
            + " waits for ever: give one of them a pool of its own"
    }

    /// What the threads have computed since the last time.
    fileprivate mutating func takeProcessorTime() -> UInt64 {
        var sum: UInt64 = 0
        for thread in threads {
            guard let time = thread.joinable?.processorNanoseconds, time > 0 else { continue }
            sum += time &- min(time, thread.seenProcessorNanoseconds)
            thread.seenProcessorNanoseconds = time
        }
        return sum
    }

    /// The end of the window, or when the queue's head is old enough for one more thread.
    fileprivate func nextLook(_ now: UInt64) -> UInt64 {
        let end = (window.began ?? now) + ThreadLimit.windowNanoseconds
        guard let age = headAge(now), threads.count < limit.limit, idle.isEmpty else { return end }
        // Is it old enough, a thread has just been started for it.
        return min(end, now + (age < ThreadLimit.patience ? ThreadLimit.patience - age : 1_000_000))
    }
}
