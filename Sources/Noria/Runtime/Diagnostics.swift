// SPDX-License-Identifier: Apache-2.0

extension RuntimeConfiguration {
    /// What the runtime watches in itself, and what becomes of what it sees.
    public struct Diagnostics: Sendable {
        /// Whether everything that can be seen is looked at: only with `NORIA_DEBUG=1`.
        ///
        /// See `docs/diagnostics.md` for what it shows and what it costs.
        public var debug = DebugMode.environment
        /// In the debug mode a job that takes longer is logged: 100 ms.
        public var slowJobThreshold = Duration.milliseconds(100)
        /// A turn of a loop that lasts longer is a *stall*, and counted: 100 ms.
        ///
        /// The time that its thread waited for a processor is no part of it.
        public var stallThreshold = Duration.milliseconds(100)
        /// A stall that lasts longer is reported while it lasts, once: 1 s.
        public var stallReportThreshold = Duration.seconds(1)
        /// Stalls of one loop that are reported in a minute at most; the rest is counted: 5.
        public var stallReportsPerMinute = 5
        /// How a report tells what blocks: by a stack that a signal takes, or without that.
        public var stallStacks = StallStacks.on
        /// Called with each report, after it was logged, on the thread that writes reports: others
        /// wait meanwhile.
        public var onStall: (@Sendable (StallReport) -> Void)?
        /// Off in a worker process, whose calls compute on its loop.
        var watchesLoops = true
        /// Whether live tasks are listed (`Runtime.tasks()`) and cancelled at the end, as they are by
        /// default.
        ///
        /// `NORIA_TRACKS_TASKS`. It costs two short locks and at most 64 bytes a task.
        public var tracksTasks = true
        /// How often numbers go to the metrics system that the program has set up with
        /// swift-metrics: 1 s; nil for never.
        ///
        /// `docs/metrics.md` lists them. Without such a system nothing is done.
        public var metricsInterval: Duration? = .seconds(1)
        /// Whether `noria doctor --pid` can see the snapshot of this process, as it can by default.
        ///
        /// It stands in a memory of some KiB that the process's user and root can read, and takes
        /// one descriptor; it is written anew once a second.
        public var publishesSnapshot = true
        /// Who takes the errors that nobody awaits: the log.
        public var uncaughtErrors = UncaughtErrorHandler.log
    }

    /// Whether the debug mode is on.
    @nonexhaustive
    public enum DebugMode: String, Sendable, CaseIterable {
        /// On with `NORIA_DEBUG=1`, else off.
        case environment
        /// On, whatever the environment says.
        case on
        /// Off, whatever the environment says.
        case off
    }

    /// Whether a blocked thread is asked for its stack.
    @nonexhaustive
    public enum StallStacks: String, Sendable, CaseIterable {
        /// A real-time signal asks it, once for each stall that is reported.
        ///
        /// A blocking call in which the thread waits may end early with EINTR: SA_RESTART does not
        /// restart usleep, nanosleep, poll, select, sem_timedwait, or a receive with a time-out.
        case on
        /// No signal is sent: the report names the call of the kernel, not the function.
        case off
    }
}
