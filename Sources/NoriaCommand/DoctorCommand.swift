// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Noria
import NoriaSystem

/// What this machine has, and what to change.
struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Say what this machine has for a runtime, and what to change for production.",
        discussion: """
            Backends are tried by using them. Each row below them is ok, change (with the command \
            that changes it) or unknown (with what could not be seen, as limits from outside of a \
            container).

            The exit code is 0 when a backend can be had, else 1. With --strict it is 1 as well \
            when a row says change or a variable of the environment is wrong; what is unknown \
            does not count.

            --json prints one object whose keys stay: automatic, backends (kind, isAvailable, \
            reason, features), processors (count, affinityCount, quota, quotaGroup, gap), checks \
            (name, state, value, unit, finding, reason, command), and with --config \
            configuration (knobs: name, variable, value, source, defaultValue, unit, range, \
            summary, problem; unknownVariables: name, nearest). A key without a value is left out.
            """
    )

    @Flag(help: "Print JSON.")
    var json = false

    @Flag(
        help: "Print each knob of a runtime, too: value, unit, default and where it came from."
    )
    var config = false

    @Flag(help: "End with 1 when something is to be changed.")
    var strict = false

    @OptionGroup var filter: FilterOptions

    func run() throws {
        try filter.apply()
        // What a program sets in its code is not seen here: this is the default and the environment.
        let report = MachineReport(
            configuration: config ? ConfigurationReport(.production) : nil
        )
        Thread.write(json ? try report.json : report.text, to: 1)
        guard strict ? report.isReady : report.automatic != nil else { throw ExitCode.failure }
    }
}
