// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaSystem
internal import SystemPackage

/// The end that comes whatever the loops do: two plain threads, which nothing here can block.
///
/// They begin with the request, on the thread that asks. One says shortly before the deadline what has
/// not ended; that may wait for a lock or a pipe, so the other ends the process at the deadline
/// whatever has become of it.
///
/// The request against the end: who of both is second under the lock ends the threads.
/// The end against the deadline: `Shutdown.end` makes `ended` readable, and then waits for both. A
/// thread that has seen its time before that goes on to the end of the process, and `end` with it.
extension Shutdown {
    func armDeadline() {
        do throws(Errno) {
            guard let ended = try? Descriptor.event() else { return try armDeafDeadline() }
            var threads: [Thread.Joinable] = []
            do throws(Errno) {
                threads.append(
                    try Thread.startJoinable { [self] in
                        Thread.name("noria deadline")
                        let length = policy.deadline.nanoseconds
                        if !Descriptor.waits(ended, nanoseconds: length) { meetDeadline() }
                    }
                )
                threads.append(
                    try Thread.startJoinable { [self] in
                        Thread.name("noria last words")
                        let length = policy.timeBeforeLastWords.nanoseconds
                        if !Descriptor.waits(ended, nanoseconds: length) { speakLastWords() }
                    }
                )
            } catch {
                if threads.isEmpty {
                    Descriptor.close(ended)
                    throw error
                }
                logger.error("shutdown: no thread for the last words: \(error)")
            }
            let isOver = state.withLock { [threads] state in
                if state.course.phase != .ended { state.deadline = (threads, ended) }
                return state.course.phase == .ended
            }
            // The run has ended by itself since the request: nobody else would end these.
            if isOver { Self.end(threads, ended) }
        } catch {
            logger.error("shutdown: no thread to keep the deadline: \(error)")
        }
    }

    /// Tells the deadline's threads that all has ended, and waits for them.
    static func end(_ threads: [Thread.Joinable], _ ended: Int32) {
        Descriptor.signalEvent(ended)
        for thread in threads { thread.join() }
        Descriptor.close(ended)
    }

    /// Without a descriptor left the thread is not told of the end, and sleeps until the deadline.
    private func armDeafDeadline() throws(Errno) {
        let length = policy.deadline.nanoseconds
        try Thread.start { [weak self] in
            Thread.sleep(nanoseconds: length)
            self?.meetDeadline()
        }
    }

    /// Names what has not ended, and writes the report of that.
    ///
    /// By `write(2)`, when standard error takes it: whoever is stuck may hold the log's lock.
    private func speakLastWords() {
        let (phase, unended) = state.withLock { ($0.course.phase, $0.actions.unended) }
        guard phase != .ended else { return }
        guard endsProcess else {
            let names = unended?().joined(separator: ", ") ?? ""
            return logger.error("shutdown: \(sentence), waited for all the same: \(names)")
        }
        // What the log still has comes first, when it can; the names last, which take locks.
        _ = log.flush(nanoseconds: 50_000_000)
        say("\(sentence); what has not ended is abandoned:")
        let names = unended?() ?? []
        for name in names { say("  \(name)") }
        let report = state.withLock { $0.report(.abandoned, .none, abandoned: names) }
        report.write(to: policy.reportPath, nil)
    }

    private func say(_ text: String) {
        if Descriptor.isWritable(2) { Thread.write("noria: \(text)\n", to: 2) }
    }

    private var sentence: String {
        "not ended \(policy.timeBeforeLastWords) after the shutdown was asked for"
    }

    private func meetDeadline() {
        guard phase != .ended, endsProcess else { return }
        Thread.exitProcess(ExitCode.abandoned.rawValue)
    }
}

extension Shutdown.State {
    /// What is known of the end by now.
    func report(
        _ exitCode: ExitCode,
        _ uncaughtErrors: UncaughtErrorCounts,
        abandoned: [String]
    ) -> ShutdownReport {
        let now = MonotonicClock.now
        let ends = course.begins.dropFirst().map(\.moment) + [now]
        let phases = zip(course.begins, ends).map { begin, end in
            ShutdownReport.PhaseReport(
                phase: begin.phase,
                seconds: Double(end &- begin.moment) / 1e9
            )
        }
        return ShutdownReport(
            reason: reason,
            exitCode: exitCode,
            phases: phases,
            drained: drained,
            cancelled: cancelled,
            abandoned: abandoned,
            errors: errors,
            uncaughtErrors: uncaughtErrors
        )
    }
}
