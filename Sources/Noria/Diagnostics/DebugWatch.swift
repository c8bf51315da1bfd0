// SPDX-License-Identifier: Apache-2.0
internal import CNoria
internal import Logging
internal import NoriaEngine
internal import NoriaSystem
internal import Synchronization

/// What the debug mode looks at: slow jobs, where tasks and handles came from, tasks that do not
/// end.
///
/// It is made for a run in debug mode only; the loops have it then, and nobody else asks.
final class DebugWatch: Sendable {
    private let logger: Logger
    private let reports: ReportThread
    private let names = CallNames()
    let slowJobNanoseconds: UInt64
    /// The cancelled tasks that were live at the last look: since when, and whether they were named.
    private let cancelled = Guarded<[UInt64: (since: UInt64, isNamed: Bool)]>([:])

    /// Nil when the mode is off.
    init?(_ configuration: RuntimeConfiguration, _ reports: ReportThread) {
        guard configuration.diagnostics.debug == .on else { return nil }
        logger = configuration.logger
        self.reports = reports
        slowJobNanoseconds = UInt64(configuration.diagnostics.slowJobThreshold.nanoseconds)
    }

    private static let isOnNow = Atomic<Bool>(false)

    /// Whether a run in debug mode is under way: asked by what checks its thread.
    @inline(__always)
    static var isOn: Bool { isOnNow.load(ordering: .relaxed) }

    func begin(_ loops: EventLoopGroup) {
        Self.isOnNow.store(true, ordering: .relaxed)
        noria_sites_keep(true)
        for loop in loops { loop.perform { loop.look(by: self) } }
        loops.main.perform { CancelledTasksTimer(self, loops.main).begin() }
    }

    /// When the loops have ended.
    func end(_ loops: EventLoopGroup) {
        for loop in loops { loop.look(by: nil) }
        noria_sites_keep(false)
        Self.isOnNow.store(false, ordering: .relaxed)
    }

    // MARK: Slow jobs

    /// Says that a job has taken long.
    ///
    /// Loop thread only.
    func noteSlowJob(_ job: SlowJob, _ loop: EventLoop) {
        reports.submit { [self] in
            let origin = job.site.flatMap(caller).map { ", made by \($0)" } ?? ""
            logger.warning(
                "\(loop) took \(job.nanoseconds / 1_000_000) ms for a job of \(job.whose)\(origin)"
            )
        }
    }

    // MARK: Origins

    /// Who made something, by the number of its site.
    func caller(_ site: UInt32) -> String? {
        let calls = [UInt](unsafeUninitializedCapacity: Int(NORIA_SITE_CALLS)) { buffer, count in
            count = Int(noria_site_calls(site, buffer.baseAddress))
        }
        return names.caller(calls)
    }

    /// Where a listed task waits, the innermost first.
    func stack(_ record: noria_task_record) -> [String] {
        names.calls(waiting: TaskHook.stack(record))
    }

    /// A listed task: its name, who made it and where it waits.
    private func words(_ record: noria_task_record) -> String {
        let origin = caller(record.site).map { ", made by \($0)" } ?? ""
        return "task \(record.label)\(origin)" + stack(record).map { "\n    \($0)" }.joined()
    }

    // MARK: What was not closed

    /// Says that something was let go of, or left open at the end, without a close.
    ///
    /// Any thread.
    func noteUnclosed(_ what: String, openedAt place: CodePlace?) {
        let origin = place.map { "; it was opened at \($0)" } ?? ""
        logger.warning("\(what) was not closed\(origin)")
    }

    // MARK: Tasks that do not end

    /// Names each task once that was cancelled a second ago and has not ended.
    fileprivate func lookAtCancelled() {
        reports.submit { [self] in
            let now = MonotonicClock.now
            let live = TaskHook.records().filter { $0.is_cancelled && !$0.is_own }
            let late = cancelled.withLock { cancelled in
                var seen: [UInt64: (since: UInt64, isNamed: Bool)] = [:]
                var late: [(record: noria_task_record, since: UInt64)] = []
                for record in live {
                    var entry = cancelled[record.id] ?? (now, false)
                    if !entry.isNamed, now &- entry.since >= Self.patience {
                        entry.isNamed = true
                        late.append((record, entry.since))
                    }
                    seen[record.id] = entry
                }
                cancelled = seen
                return late
            }
            for (record, since) in late.prefix(Self.namedAtOnce) {
                let age = (now - since) / 1_000_000
                logger.warning("cancelled \(age) ms ago and live: \(words(record))")
            }
            if late.count > Self.namedAtOnce {
                logger.warning(
                    "\(late.count - Self.namedAtOnce) more tasks were cancelled and are live"
                )
            }
        }
    }

    private static let patience: UInt64 = 1_000_000_000
    private static let namedAtOnce = 20

    /// Names the tasks that are left behind at the end.
    func noteLeftBehind() {
        let tasks = TaskHook.records().filter { !$0.is_own }.sorted { $0.made < $1.made }
        for record in tasks.prefix(Self.namedAtOnce) {
            logger.warning("left behind: \(words(record))")
        }
    }
}

/// A job that took long, while its task could still be looked up.
struct SlowJob {
    let whose: String
    let site: UInt32?
    let nanoseconds: UInt64
}

/// Has the cancelled tasks looked at, twice a second.
private final class CancelledTasksTimer: TimerOwner {
    private let watch: DebugWatch
    private let loop: EventLoop

    init(_ watch: DebugWatch, _ loop: EventLoop) {
        self.watch = watch
        self.loop = loop
    }

    func begin() { _ = loop.timers.add(deadline: MonotonicClock.now &+ 500_000_000, owner: self) }

    func timerFired(_ context: UInt) {
        guard DebugWatch.isOn else { return }
        watch.lookAtCancelled()
        begin()
    }
}

extension EventLoop {
    /// Runs a job and looks how long it takes: the debug mode's way.
    func run(_ job: QueuedJob, under watch: DebugWatch) {
        let isPosted = job.role == .posted
        // Both before the run, which may end the job.
        let id = isPosted ? 0 : noria_job_id(job.address)
        let priority = isPosted ? 0 : job.job.priority.rawValue
        let began = MonotonicClock.now
        run(job)
        let nanoseconds = MonotonicClock.now &- began
        guard nanoseconds >= watch.slowJobNanoseconds else { return }
        let record = isPosted ? nil : TaskHook.record(id)
        let whose =
            if isPosted {
                "the runtime's own"
            } else if let record {
                "task \(record.label), priority \(priority)"
            } else {
                // A child task's, an actor's, or that of a task made before the run.
                "none of the listed tasks (\(id)), priority \(priority)"
            }
        watch.noteSlowJob(SlowJob(whose: whose, site: record?.site, nanoseconds: nanoseconds), self)
    }
}

extension EventLoop {
    /// In the debug mode: ends the process when a member that is this loop's is used elsewhere.
    @inline(__always)
    func checkThread(_ member: StaticString = #function) {
        if DebugWatch.isOn, !isCurrent { stopWrongThread(member) }
    }

    @inline(never)
    private func stopWrongThread(_ member: StaticString) -> Never {
        let place = EventLoop.current.map { "\($0)" } ?? "a thread of no loop"
        fatalError(
            "'\(member)' belongs to the thread of \(self), and was used on \(place): an error of"
                + " Noria or of an adapter, please report it"
        )
    }
}
