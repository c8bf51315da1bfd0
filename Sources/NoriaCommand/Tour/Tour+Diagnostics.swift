// SPDX-License-Identifier: Apache-2.0
import FoundationEssentials
import Noria
import NoriaSystem

/// Step 3: without it, nobody knows what blocked the service at night, or that a task died.
extension Tour {
    func showDiagnostics() async {
        await step(.diagnostics, "production", doing: "reading what a service says at its start") {
            try await self.production()
        }
        await step(.diagnostics, "blocked loop", doing: "a handler that blocks its loop") {
            try await self.blockedLoop()
        }
        await step(.diagnostics, "errors", doing: "1,000 tasks that throw, unawaited") {
            try await self.uncaughtErrors()
        }
    }

    private func production() async throws -> Verdict {
        let end = try await TourChild.run(["echo", "--port", "0"]) { child in
            _ = try await child.listens()
            child.terminate()
        }
        let line = end.lines.first { $0.contains("started: ") } ?? ""
        let isOptimised = line.contains("optimised build: yes")
        let isDebug = !line.contains("debug: off")
        return Verdict(
            held: isOptimised && !isDebug,
            finding: "optimised build: \(isOptimised ? "yes" : "no"),"
                + " debug mode: \(isDebug ? "on" : "off")",
            advice: isOptimised
                ? "unset NORIA_DEBUG" : "build it so: 'swift run -c release noria tour'"
        )
    }

    /// The stack is taken while the loop is blocked; its names may take a second more.
    private func blockedLoop() async throws -> Verdict {
        var (stack, report, isDebug) = ([String](), "", false)
        let arguments = ["echo", "--port", "0", "--block-every", "1", "--block-for", "3000"]
        let end = try await TourChild.run(arguments) { child in
            let load = TourLoad(port: try await child.listens().port, byteCount: 64)
            async let talk: Void = load.talk(1, messages: 1)
            report = try await child.line(with: "is blocked, for ")
            while let line = try await child.nextLine() {
                guard line.hasPrefix("    ") else { break }
                stack.append(String(line.drop { $0 == " " }))
            }
            if !child.hasSaid("goes on") { _ = try await child.line(with: "goes on") }
            isDebug = !child.hasSaid("debug: off")
            await talk
            child.terminate()
        }
        // "… loop 0 is blocked, for 1024 ms by now"
        let milliseconds = report.split(separator: " ").dropLast(3).last.flatMap { Int($0) } ?? 0
        let culprit = stack.first { $0.contains("blockOnPurpose(milliseconds:)") }
        return Verdict(
            held: culprit != nil && (1000..<3000).contains(milliseconds)
                && end.exitCode == 0,
            finding: "a loop blocked for 3,000 ms was caught after \(milliseconds) ms, in"
                + " \(culprit ?? "none of \(stack.count) calls"), with debug mode \(isDebug ? "on" : "off")",
            advice: "read the log of 'noria echo --block-every 1'",
            figures: ["caughtAfterMilliseconds": Double(milliseconds)]
        )
    }

    private func uncaughtErrors() async throws -> Verdict {
        let (clients, messages) = (10, 100)
        var tally = TourLoad.Tally()
        let file = try TourFile()
        let arguments = ["echo", "--port", "0", "--fail-every", "1", "--report", file.path]
        let end = try await TourChild.run(arguments) { child in
            let load = TourLoad(port: try await child.listens().port, byteCount: 64)
            await withTaskGroup { group in
                for client in 0..<clients {
                    group.addTask { await load.talk(client, messages: messages) }
                }
            }
            tally = load.tally
            child.terminate()
        }
        let counts = try file.report().uncaughtErrors
        let count = counts.reported + counts.suppressed
        let logged = end.lines.count { $0.contains("nobody awaits it: DeliberateError") }
        return Verdict(
            held: tally.answers == clients * messages && count == tally.answers
                && logged == counts.reported && logged > 0 && end.exitCode == 0,
            finding: "\(count) of \(tally.answers) reported: \(logged) in the log, the others"
                + " counted beside them; the clients saw \(tally.text)",
            advice: "'plain tasks are covered' must stand in the log's first line",
            figures: ["errorsCount": Double(count)]
        )
    }
}
