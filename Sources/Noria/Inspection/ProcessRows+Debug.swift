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
        var ignoresEnvironment = false
        var words = look.commandLine.dropFirst()
        while let word = words.popFirst(), word.hasPrefix("-"), !word.hasPrefix("--") {
            let letters = word.dropFirst()
            if letters.hasPrefix("X") {
                let rest = String(letters.dropFirst())
                let option = rest.isEmpty ? words.popFirst() ?? "" : rest
                if ["dev", "tracemalloc", "importtime"].contains(where: option.hasPrefix) {
                    return ("-X \(option)", "cmdline", "start it without '-X \(option)'")
                }
            } else if letters == "W" {
                _ = words.popFirst()
            } else if letters.contains("c") || letters.contains("m") {
                let module = words.first ?? ""
                if ["pdb", "debugpy", "trace", "cProfile", "profile"].contains(module) {
                    return ("under \(module)", "cmdline", "start it without '-m \(module)'")
                }
                break
            } else if letters.contains("E") || letters.contains("I") {
                ignoresEnvironment = true
            }
        }
        guard !ignoresEnvironment else { return nil }
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
        if let option = look.nodeOptions.first(where: { option in
            wanted.contains(where: option.hasPrefix)
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
    /// The path of a program that stands where SwiftPM or Cargo build without optimisation.
    fileprivate var debugFolder: String? {
        let parts = executable.split(separator: "/").dropLast()
        let isBuild = parts.contains { $0.hasPrefix(".build") || $0 == "target" }
        return isBuild && parts.last == "debug" ? executable : nil
    }
}
