// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Logging
import Noria
import NoriaSystem

/// The four steps to production, each shown at work.
struct TourCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tour",
        abstract: "Show the four steps to production at work, within a minute.",
        discussion: """
            Each step starts this program again: real processes, real sockets on loopback, real \
            signals. A ✔ is computed from what the child did, a ✘ says what to do; what is done \
            meanwhile stands on standard error. Nothing is installed, no port is fixed, and no \
            process is left unless SIGKILL ends the tour itself. Of the NORIA_* variables only \
            NORIA_BACKEND and NORIA_DEBUG reach the children.

              policy       the kernel interface: probed, asserted, with a fallback
              executors    blocking calls and crashing work, off the loop
              diagnostics  debug off, a blocked loop named, lost errors counted
              shutdown     SIGTERM under load, and a deadline that holds

            The exit code is 0 when all of it held, else 1. Build it optimised: the debug build \
            says so by a ✘.

            --json prints one object whose keys stay: held, seconds, steps (section, name, held, \
            finding, advice, seconds, figures: a number for each name, which ends in its unit). A \
            key without a value is left out.
            """
    )

    @Argument(help: "The sections to show, of policy, executors, diagnostics, shutdown; none: all.")
    var sections: [TourSection] = []

    @Flag(help: "Print JSON on standard output, and the rest on standard error.")
    var json = false

    func run() throws {
        let configuration = RuntimeConfiguration.production.with {
            // What the children log is what matters here.
            $0.logger.logLevel = .error
            // For its own end: the children are killed at once.
            $0.shutdown.deadline = .seconds(5)
        }
        let wanted = TourSection.allCases.filter { sections.isEmpty || sections.contains($0) }
        let json = json
        let outcome = try started { () throws(RuntimeError) in
            try Runtime.run(configuration) { runtime in
                await Tour(runtime, writesJSON: json).show(wanted)
            }
        }
        let report = try outcome.value
        if json { Thread.write(report.summary, to: 2) }
        try say(json ? report.json : report.summary)
        guard report.held else { throw ExitCode.failure }
    }
}
