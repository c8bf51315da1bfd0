// SPDX-License-Identifier: Apache-2.0

/// The four steps to production: policy, executors, diagnostics, shutdown.
extension ProcessRow {
    static func steps(_ look: ProcessLook) -> [ProcessRow] {
        [
            policy(look), executors(look), debug(look), exceptionHandler(look), shutdown(look),
        ]
    }

    // MARK: 1. A loop that was chosen

    private static func policy(_ look: ProcessLook) -> ProcessRow {
        let loops = look.descriptors.loopText
        func row(
            _ state: MachineCheck.State,
            _ finding: String,
            _ advice: String? = nil
        ) -> ProcessRow {
            ProcessRow("policy", state, finding, evidence: look.kindEvidence, advice: advice)
        }
        switch look.kind {
        case .asyncio:
            let isImported = look.mapped.contains { $0.contains("/uvloop/") }
            return row(
                .change,
                isImported
                    ? "uvloop is imported, but asyncio's own loop runs"
                    : "asyncio's own loop, in Python over epoll: the default, not a choice",
                "run on uvloop: pip install uvloop, then uvloop.run(main()) (under uvicorn"
                    + " --loop uvloop)"
            )
        case .uvloop: return row(.ok, "uvloop, on libuv (\(loops))")
        case .python:
            return row(
                .unknown,
                look.descriptors.hasEpoll
                    ? "Python and an event loop over epoll; which one can't be seen"
                    : "Python without a descriptor of epoll: no event loop of asyncio's runs",
                "'py-spy dump --pid \(look.folder.processID)' shows the functions of its threads"
            )
        case .node: return row(.ok, "Node's own: libuv (\(loops))")
        case .go: return row(.ok, "Go's scheduler and its network poller (\(loops))")
        case .swiftNIO:
            return row(.ok, "SwiftNIO's loops: \(look.loopThreads.count) (\(loops))")
        case .noriaWorker: return row(.ok, "a worker of Noria's: one loop (\(loops))")
        case .noria:
            guard let check = look.check("backend") else {
                return row(.unknown, "Noria (\(loops)); \(look.snapshotGap)", look.snapshotAdvice)
            }
            return ProcessRow("policy", "Noria on \(check.finding)", check)
        case .unknown:
            return row(
                .unknown,
                "no event loop that is known here (\(loops))",
                "look into its documentation for the loop that it takes, and how one is chosen"
            )
        }
    }

    // MARK: 2. Work that blocks is off the loop

    private static func executors(_ look: ProcessLook) -> ProcessRow {
        let evidence = "task/*/{status,stat,wchan,schedstat} over \(look.activity.text)"
        if look.status["State"]?.lowercased().hasPrefix("t") == true {
            return ProcessRow(
                "executors",
                .unknown,
                "the process is stopped (\(look.status["State"] ?? ""))",
                evidence: "status",
                advice: "kill -CONT \(look.folder.processID), unless a debugger has stopped it"
            )
        }
        let count = look.after.count
        let threads = "\(count) thread\(count == 1 ? "" : "s") (\(look.after.namesText))"
        if let blocked = blocked(look, threads, evidence) { return blocked }
        switch look.kind {
        case .noria: return noriaExecutors(look, threads)
        case .go: return goExecutors(look, threads, evidence)
        default: break
        }
        let places = look.loopPlaces
        let seen =
            places.lookCount == 0
            ? "which of them runs a loop is not known"
            : "in \(places.lookCount) looks its loop waited for events \(places.inPoll) times and ran"
                + " \(places.running) times"
        return ProcessRow(
            "executors",
            .unknown,
            "\(threads); \(seen); what the loop calls while it runs can't be seen",
            evidence: evidence,
            value: (look.after.count, "threads"),
            advice: executorAdvice(look)
        )
    }

    private static func executorAdvice(_ look: ProcessLook) -> String {
        switch look.kind {
        case .asyncio, .uvloop:
            "PYTHONASYNCIODEBUG=1 on a test machine names callbacks over 100 ms; give what blocks to"
                + " asyncio.to_thread"
        case .node:
            "perf_hooks.monitorEventLoopDelay() measures it; UV_THREADPOOL_SIZE (4) bounds files and"
                + " names, worker_threads take what computes"
        case .swiftNIO:
            "measure the delay of a task that is scheduled on each loop; give what blocks to"
                + " NIOThreadPool"
        case .noriaWorker: "its calls compute on its loop, as they should"
        default: "a profiler tells: perf record -g -p \(look.folder.processID)"
        }
    }

    /// A loop's thread that was found waiting for something else than events.
    private static func blocked(
        _ look: ProcessLook,
        _ threads: String,
        _ evidence: String
    ) -> ProcessRow? {
        let places = look.loopPlaces
        let count = places.elsewhere.values.reduce(0, +)
        let isRunning = places.lookCount > 0 && places.running * 20 >= places.lookCount * 19
        guard count * 10 >= max(1, places.lookCount) || isRunning else { return nil }
        let most = places.elsewhere.max { ($0.value, $1.key) < ($1.value, $0.key) }
        let finding =
            count * 10 >= max(1, places.lookCount)
            ? "the loop's thread blocks: in \(count) of \(places.lookCount) looks it waited elsewhere"
                + " than for events (\(most?.key ?? "")); \(threads)"
            : "the loop's thread computes: it ran in \(places.running) of \(places.lookCount) looks;"
                + " \(threads)"
        return ProcessRow(
            "executors",
            .change,
            finding,
            evidence: evidence,
            value: (look.after.count, "threads"),
            advice: look.kind == .noria
                ? "await it in runtime.blocking.run or runtime.compute.run; its log names the stack"
                : executorAdvice(look)
        )
    }

    private static func noriaExecutors(_ look: ProcessLook, _ threads: String) -> ProcessRow {
        guard let snapshot = look.published?.snapshot else {
            return ProcessRow(
                "executors",
                .unknown,
                "\(threads); \(look.snapshotGap)",
                evidence: "task/*/comm",
                advice: look.snapshotAdvice
            )
        }
        func stallCount(_ snapshot: RuntimeSnapshot) -> Int {
            snapshot.eventLoops.reduce(0) { $0 &+ Int(clamping: $1.stalls) }
        }
        let stalls = stallCount(snapshot)
        // What happened an hour ago is no state of now; a loop that is blocked now was told above.
        let grown = look.earlierSnapshot.map { stalls &- stallCount($0.snapshot) }
        let longest = snapshot.eventLoops.map(\.turnLength.max).max() ?? 0
        let pools = [snapshot.blocking, snapshot.compute].map { pool in
            "\(pool.name) \(pool.activeCount) of \(pool.threadLimit) busy, \(pool.queueDepth) queued,"
                + " wait p99 \(pool.wait.p99.inTime)"
        }
        let finding =
            "\(stalls) stalls since its begin"
            + (grown.map { ", \($0) of them in this look" } ?? "")
            + ", longest turn \(longest.inTime); " + pools.joined(separator: "; ")
        return ProcessRow(
            "executors",
            stalls == 0 || grown == 0 ? .ok : grown == nil ? .unknown : .change,
            finding,
            evidence: look.snapshotEvidence,
            value: (stalls, "stalls"),
            advice: stalls > 0
                ? "the log names the stack of each stall over 1 s: move that call to"
                    + " runtime.blocking.run or runtime.compute.run" : nil
        )
    }

    private static func goExecutors(
        _ look: ProcessLook,
        _ threads: String,
        _ evidence: String
    ) -> ProcessRow {
        let quota = look.groups.processorQuota().value
        let version = look.program.goVersion?.split(separator: ".").dropFirst().first
        let isOld = version.flatMap { Int($0.prefix { $0.isNumber }) }.map { $0 < 25 }
        let variable = look.environment["GOMAXPROCS"]
        guard let quota, isOld != false, variable == nil,
            quota < Double(look.folder.machine.affinityCount)
        else {
            return ProcessRow(
                "executors",
                .ok,
                "\(threads); Go moves calls that block to other threads by itself",
                evidence: evidence,
                value: (look.after.count, "threads")
            )
        }
        return ProcessRow(
            "executors",
            isOld == nil ? .unknown : .change,
            "\(threads); "
                + (isOld == nil ? "its version of Go can't be told, and " : "")
                + "Go before 1.25 takes every processor of the machine, not the quota of"
                + " \(quota)",
            evidence: "exe, environ (no GOMAXPROCS), cgroup",
            value: (look.after.count, "threads"),
            advice: "GOMAXPROCS=\(Int(quota.rounded(.up))), unless the code sets it"
        )
    }

    // MARK: 3. Errors that nobody awaits

    private static func exceptionHandler(_ look: ProcessLook) -> ProcessRow {
        let name = "exception handler"
        if let check = look.check(name) { return ProcessRow(name, check.finding, check) }
        if look.kind == .node,
            let mode = look.nodeOptions.first(where: {
                ["--unhandled-rejections=warn", "--unhandled-rejections=none"].contains($0)
            })
        {
            return ProcessRow(
                name,
                .change,
                "\(mode): a rejection that nobody handles is passed over",
                evidence: "cmdline, environ",
                advice: "leave it away, and take process.on('unhandledRejection') to log"
            )
        }
        let advice: String? =
            switch look.kind {
            case .asyncio, .uvloop: "search the code for loop.set_exception_handler"
            case .node: "search it for process.on('uncaughtException') and 'unhandledRejection'"
            case .go: "a panic that nobody recovers ends the process: search the code for recover()"
            case .noria: look.snapshotAdvice
            default: nil
            }
        return ProcessRow(
            name,
            .unknown,
            "whether one is set stands in the process's own memory alone",
            evidence: "none",
            advice: advice
        )
    }
}

extension ProcessRow {
    /// What a Noria process has found of itself.
    init(_ name: String, _ finding: String, _ check: ProductionCheck) {
        let state: MachineCheck.State =
            switch check.state {
            case .ok: .ok
            case .change: .change
            default: .unknown
            }
        self.init(
            name,
            state,
            finding,
            evidence: "its snapshot: \(check.name)",
            advice: check.advice
        )
    }
}

extension ProcessLook {
    /// What the process itself has found, which its snapshot has.
    func check(_ name: String) -> ProductionCheck? {
        published?.checks.first { $0.name == name }
    }

    /// Why nothing of the snapshot is known.
    var snapshotGap: String {
        if case .failure(let unseen) = snapshot { return unseen.reason }
        return "it shows no snapshot"
    }

    var snapshotAdvice: String {
        "see that NORIA_PUBLISHES_SNAPSHOT is not off, and that it is built with this version"
    }

    var snapshotEvidence: String { descriptors.snapshot ?? "fd" }

    /// The options of Node on its command line, up to the program's name, and in its variable; a
    /// value that is a word of its own is joined to its option.
    var nodeOptions: [String] {
        let variable = (environment["NODE_OPTIONS"] ?? "").split(separator: " ").map(String.init)
        return Self.nodeOptions(commandLine.dropFirst()) + Self.nodeOptions(variable[...])
    }

    private static func nodeOptions(_ words: ArraySlice<String>) -> [String] {
        var (options, words) = ([String](), words)
        while let word = words.popFirst(), word.hasPrefix("-"), word != "-", word != "--" {
            let value = optionsWithValue.contains(word) ? words.popFirst() : nil
            options.append(value.map { "\(word)=\($0)" } ?? word)
        }
        return options
    }

    private static let optionsWithValue: Set<String> = [
        "-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions",
        "--env-file", "--env-file-if-exists", "-e", "--eval", "-p", "--print", "-pe", "--title",
        "--input-type", "--unhandled-rejections", "--disable-warning", "--redirect-warnings",
        "--diagnostic-dir", "--icu-data-dir", "--openssl-config", "--dns-result-order",
        "--max-http-header-size", "--inspect-port", "--debug-port", "--watch-path",
    ]
}

extension ThreadActivity {
    /// `1.00 s`.
    var text: String { "\((seconds * 100).rounded() / 100) s" }
}

extension Double {
    /// `62`; what is too large for a number, or is none, stays as it is.
    var inWhole: String { Int(exactly: rounded()).map { "\($0)" } ?? "\(self)" }

    /// Seconds, as `1.2 s` or `3.4 ms`.
    var inTime: String {
        self >= 1 ? "\((self * 10).rounded() / 10) s" : "\((self * 10_000).rounded() / 10) ms"
    }
}
