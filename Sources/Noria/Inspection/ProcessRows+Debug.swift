// SPDX-License-Identifier: Apache-2.0

/// The third step: what is switched on for the desk, and must not be in production.
extension ProcessRow {
    static func debug(_ look: ProcessLook) -> ProcessRow {
        if let tracer = look.status["TracerPid"], tracer != "0" {
            return ProcessRow(
                "debug",
                .change,
                "process \(tracer) traces it (a debugger or strace)",
                evidence: "status: TracerPid",
                advice: "end that, it stops the process at each event"
            )
        }
        switch look.kind {
        case .noria, .noriaWorker: return noriaDebug(look)
        case .asyncio, .uvloop, .python:
            return row(look, found: pythonDebug(look), "loop.set_debug(True)")
        case .node: return row(look, found: nodeDebug(look), "an inspector that the code opens")
        case .go: return row(look, found: goDebug(look), "debug.SetTraceback and the like")
        case .swiftNIO, .unknown:
            if let path = look.debugFolder {
                return ProcessRow(
                    "debug",
                    .change,
                    "built without optimisation, as its path says: \(path)",
                    evidence: "exe",
                    advice: "swift build -c release"
                )
            }
            return ProcessRow(
                "debug",
                .unknown,
                "no switch of it is known here, nor whether the build is optimised",
                evidence: "environ, cmdline, exe",
                advice: "see that it was built for release (Swift: -c release)"
            )
        }
    }

    /// `hidden`: what code may do, and nobody sees from outside.
    private static func row(
        _ look: ProcessLook,
        found: (finding: String, evidence: String, advice: String)?,
        _ hidden: String
    ) -> ProcessRow {
        guard let found else {
            return ProcessRow(
                "debug",
                .ok,
                "off by environment and command line (code could still switch it on, unseen:"
                    + " \(hidden))",
                evidence: "environ, cmdline"
            )
        }
        return ProcessRow(
            "debug",
            .change,
            found.finding,
            evidence: found.evidence,
            advice: found.advice
        )
    }

    /// Python's options end where the program, `-c` or `-m` begins; `-E` and `-I` have it pass over
    /// the environment, and any text but none switches a variable on, `0` too.
    private static func pythonDebug(
        _ look: ProcessLook
    ) -> (finding: String, evidence: String, advice: String)? {
        let options = look.pythonOptions
        for (letter, value) in options {
            if letter == "X",
                ["dev", "tracemalloc", "importtime"].contains(where: value.hasPrefix)
            {
                return ("-X \(value)", "cmdline", "start it without '-X \(value)'")
            }
            if letter == "m", ["pdb", "debugpy", "trace", "cProfile", "profile"].contains(value) {
                return ("under \(value)", "cmdline", "start it without '-m \(value)'")
            }
        }
        guard !options.contains(where: { $0.letter == "E" || $0.letter == "I" }) else { return nil }
        for name in ["PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONTRACEMALLOC"] {
            if let value = look.environment[name], !value.isEmpty {
                return (
                    "\(name)=\(value)\(value == "0" ? " (0 is on, too)" : "")",
                    "environ",
                    "unset \(name)"
                )
            }
        }
        if let value = look.environment["PYTHONMALLOC"], value.contains("debug") {
            return ("PYTHONMALLOC=\(value)", "environ", "unset PYTHONMALLOC")
        }
        return nil
    }

    private static func nodeDebug(
        _ look: ProcessLook
    ) -> (finding: String, evidence: String, advice: String)? {
        let wanted = ["--inspect", "--debug", "--prof", "--trace-", "--watch", "--cpu-prof"]
        // They say where a warning or an end came from, and cost nothing before; a port opens none.
        let harmless = [
            "--trace-warnings", "--trace-uncaught", "--trace-deprecation", "--trace-exit",
            "--trace-sigint", "--inspect-port", "--debug-port",
        ]
        if let option = look.nodeOptions.first(where: { option in
            wanted.contains(where: option.hasPrefix) && !harmless.contains(where: option.hasPrefix)
        }) {
            return (option, "cmdline, environ: NODE_OPTIONS", "start it without '\(option)'")
        }
        if let value = look.environment["NODE_DEBUG"], !value.isEmpty {
            return ("NODE_DEBUG=\(value)", "environ", "unset NODE_DEBUG")
        }
        if let value = look.environment["NODE_ENV"], value != "production" {
            return ("NODE_ENV=\(value)", "environ", "NODE_ENV=production")
        }
        return nil
    }

    private static func goDebug(
        _ look: ProcessLook
    ) -> (finding: String, evidence: String, advice: String)? {
        let settings = (look.environment["GODEBUG"] ?? "").split(separator: ",")
        let traces = settings.filter { setting in
            let name = setting.prefix { $0 != "=" }
            return (name.contains("trace") || name == "clobberfree" || name == "gcstoptheworld")
                && !setting.hasSuffix("=0")
        }
        guard let trace = traces.first else { return nil }
        return ("GODEBUG has \(trace)", "environ", "take \(trace) out of GODEBUG")
    }

    private static func noriaDebug(_ look: ProcessLook) -> ProcessRow {
        if let debug = look.check("debug"), let build = look.check("optimised build") {
            let check = debug.isOK ? build : debug
            return ProcessRow(
                "debug",
                "debug mode \(debug.finding), optimised build: \(build.finding)",
                check
            )
        }
        if let value = look.environment["NORIA_DEBUG"], ["1", "on"].contains(value) {
            return ProcessRow(
                "debug",
                .change,
                "NORIA_DEBUG=\(value), unless the code says otherwise",
                evidence: "environ",
                advice: "unset NORIA_DEBUG"
            )
        }
        return ProcessRow(
            "debug",
            .unknown,
            "off by the environment; \(look.snapshotGap)",
            evidence: "environ",
            advice: look.kind == .noria ? look.snapshotAdvice : nil
        )
    }
}

extension ProcessLook {
    /// Python's options, letter by letter.
    ///
    /// `-IX dev` is I, and X with its value; they end where `-c`, `-m` or the program begins.
    fileprivate var pythonOptions: [(letter: Character, value: String)] {
        var options: [(letter: Character, value: String)] = []
        var words = commandLine.dropFirst()
        while let word = words.popFirst(), word.hasPrefix("-"), word != "-" {
            if word == "--check-hash-based-pycs" {
                _ = words.popFirst()
                continue
            }
            var letters = word.dropFirst()
            while let letter = letters.popFirst(), letter != "-" {
                guard "WXcm".contains(letter) else {
                    options.append((letter, ""))
                    continue
                }
                options.append((letter, letters.isEmpty ? words.popFirst() ?? "" : String(letters)))
                if letter == "c" || letter == "m" { return options }
                break
            }
        }
        return options
    }

    /// The path of a program that stands where SwiftPM or Cargo build without optimisation.
    fileprivate var debugFolder: String? {
        let parts = executable.split(separator: "/").dropLast()
        let isBuild = parts.contains { $0.hasPrefix(".build") || $0 == "target" }
        return isBuild && parts.last == "debug" ? executable : nil
    }
}
