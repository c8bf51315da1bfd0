// SPDX-License-Identifier: Apache-2.0

/// One thing that should be right before a service goes into production.
public struct ProductionCheck: Codable, Sendable, Hashable, CustomStringConvertible {
    /// Whether something is to be done.
    @nonexhaustive
    public enum State: String, Codable, Sendable {
        /// Nothing.
        case ok
        /// What `advice` says.
        case change
        /// It can't be told from here.
        case unknown
    }

    /// What was looked at: `backend`, `debug`, `signals and deadline`.
    public let name: String
    /// Whether something is to be done.
    public let state: State
    /// What was found.
    public let finding: String
    /// What to do; nil when that is nothing.
    public let advice: String?

    /// Whether nothing is to be done.
    public var isOK: Bool { state == .ok }

    /// `signals and deadline: SIGINT,SIGTERM within 25s`, and behind it what to do.
    public var description: String {
        let text = "\(name): \(finding)"
        guard let advice else { return text }
        return "\(text) [\(state): \(advice)]"
    }

    /// Advice makes it something to change.
    init(_ name: String, _ finding: String, advice: String?) {
        self.name = name
        self.finding = finding
        self.advice = advice
        state = advice == nil ? .ok : .change
    }
}

extension Runtime {
    /// What was found of this process that matters in production; the start-up log line is its
    /// text.
    ///
    /// Any thread.
    public func productionCheck() -> [ProductionCheck] {
        [
            .backend(backend),
            .defaultExecutor(
                configuration.blocking,
                threadsAllowed: MachineCheck.threads(Machine()).value
            ),
            .optimisation(isDebugBuild: _isDebugAssertConfiguration()),
            .debug(configuration),
            isEmbedded
                ? .embedded(configuration.shutdown)
                : .shutdown(configuration.shutdown, failure: signalWatch.failure),
            .exceptionHandler(configuration.diagnostics, TaskHook.coverage),
        ]
    }
}

extension [ProductionCheck] {
    /// All of it on one line.
    var text: String { map(\.description).joined(separator: "; ") }
}

extension ProductionCheck {
    /// epoll is as good a choice as io_uring; what refused the one before it is in the finding.
    static func backend(_ report: BackendReport) -> Self {
        let advice =
            report.kind == .poll
            ? "it grows slower with every descriptor: allow epoll with NORIA_BACKEND=automatic"
            : nil
        return Self("backend", "\(report)", advice: advice)
    }

    /// The pool for blocking calls, held against the threads that the user and its control groups
    /// may have; nil is for no limit that is seen.
    static func defaultExecutor(
        _ configuration: ThreadPool.Configuration,
        threadsAllowed: Int?
    ) -> Self {
        let (start, maximum) = (configuration.threadLimit, configuration.maximumThreadLimit)
        let threads = start == maximum ? "\(start) threads" : "\(start) to \(maximum) threads"
        let full = configuration.whenFull == .suspend ? "then callers wait" : "then it refuses"
        let finding = "\(threads), \(configuration.queueLimit) calls queued, \(full)"
        // The limit is for all processes of the user together: a pool must not need half of it.
        let advice = threadsAllowed.flatMap { allowed in
            maximum <= allowed / 2
                ? nil
                : "\(allowed) threads are allowed to all of this user's processes: raise"
                    + " 'ulimit -u' or pids.max, or lower NORIA_BLOCKING_MAXIMUM_THREADS"
        }
        return Self("default executor", finding, advice: advice)
    }

    /// It tells of this package; one build compiles a program and its packages alike.
    static func optimisation(isDebugBuild: Bool) -> Self {
        isDebugBuild
            ? Self(
                "optimised build",
                "no",
                // 6.0 µs of CPU time for 3.8, 1 KiB and epoll; code that computes loses far more.
                advice: "an echo takes 1.6 times the processor time, and code that computes far"
                    + " more: build with 'swift build -c release'"
            )
            : Self("optimised build", "yes", advice: nil)
    }

    /// Whether the debug mode is on, and who has decided that.
    static func debug(_ configuration: RuntimeConfiguration) -> Self {
        let isFromEnvironment = configuration.environmentKnobs.contains("diagnostics.debug")
        guard configuration.diagnostics.debug == .on else {
            let isIgnored = configuration.diagnostics.debug == .off && !isFromEnvironment
            return Self("debug", isIgnored ? "off, by the code" : "off", advice: nil)
        }
        return Self(
            "debug",
            isFromEnvironment ? "on, by NORIA_DEBUG" : "on, by the code",
            advice: "it costs some percent of the processor time: "
                + (isFromEnvironment ? "unset NORIA_DEBUG" : "start from '.production'")
        )
    }

    /// Who is told of errors that nobody awaits, and whose are met.
    static func exceptionHandler(
        _ diagnostics: RuntimeConfiguration.Diagnostics,
        _ coverage: TaskCoverage
    ) -> Self {
        let action =
            switch diagnostics.uncaughtErrors.action {
            case .log: "logs"
            case .shutDown: "logs and shuts down"
            case .call: "the program's own"
            }
        let finding = "\(action); \(coverage.gap ?? "plain tasks are covered")"
        let advice = coverage.gap.map { _ in "link with '\(TaskCoverage.flags)'" }
        return Self("exception handler", finding, advice: advice)
    }

    /// Its program has the signals, and no deadline ends it.
    static func embedded(_ policy: ShutdownPolicy) -> Self {
        let finding =
            "the program's own; an end that takes longer than \(policy.deadline.text) is reported"
        return Self("signals and deadline", finding, advice: nil)
    }

    /// `failure` is what could not be caught.
    static func shutdown(_ policy: ShutdownPolicy, failure: String?) -> Self {
        let signals = KnobForm<Set<Signal>>.signals.text(policy.signals)
        let name = "signals and deadline"
        let finding = "\(signals) within \(policy.deadline.text)"
        if let failure {
            return Self(name, "\(finding); not caught: \(failure)", advice: "it ends undrained")
        }
        if !policy.signals.contains(.terminate) {
            return Self(
                name,
                finding,
                advice: "SIGTERM, which a service manager sends, ends it undrained: add it to"
                    + " 'shutdown.signals'"
            )
        }
        if policy.deadline >= .seconds(30) {
            return Self(
                name,
                finding,
                advice: "Kubernetes kills after 30 s if nothing else is said: raise"
                    + " terminationGracePeriodSeconds above it, or set NORIA_SHUTDOWN_DEADLINE=25s"
            )
        }
        return Self(name, finding, advice: nil)
    }
}
