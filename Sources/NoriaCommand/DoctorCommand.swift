// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Noria
import NoriaSystem

/// What this machine has, and what to change.
struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Say what this machine has for a runtime; with --pid, look at a live process.",
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

            --pid looks at a live process instead, for a second and by /proc alone: nothing is \
            attached, sent or changed. It tells asyncio, uvloop, Node, Go, SwiftNIO and Noria, and \
            says of the four steps to production (policy, executors, debug and exception handler, \
            shutdown) and of the limits that it meets: ✔ well, ✘ to change, ? not to be seen from \
            outside; behind each in brackets the files of /proc/PID that say so. The exit code is \
            0 when there is a report (1 with --strict and a ✘), 66 when there is no such process \
            or it may not be seen.

            --pid --json prints processID, name, commandLine, user, kind (asyncio, uvloop, python, \
            node, go, SwiftNIO, noria, worker of noria, unknown), evidence, steps and limits \
            (name, state, value, unit, finding, evidence, advice), and of a Noria process snapshot \
            (writtenAt, processID, isEmbedded, isDebug, shutdownDeadlineSeconds, \
            uncaughtErrorHandler, checks, snapshot) with snapshotAgeSeconds.
            """
    )

    @Option(help: ArgumentHelp("Look at this process instead.", valueName: "number"))
    var pid: Int32?

    @Flag(help: "Print JSON.")
    var json = false

    @Flag(
        help: "Print each knob of a runtime, too: value, unit, default and where it came from."
    )
    var config = false

    @Flag(help: "End with 1 when something is to be changed.")
    var strict = false

    @OptionGroup var filter: FilterOptions

    func validate() throws {
        guard let pid else { return }
        guard pid > 0 else { throw ValidationError("--pid takes the number of a process") }
        guard !config else { throw ValidationError("--config is of no other process's runtime") }
    }

    func run() throws {
        try filter.apply()
        if let pid { return try runOnProcess(pid) }
        // What a program sets in its code is not seen here: this is the default and the environment.
        let report = MachineReport(
            configuration: config ? ConfigurationReport(.production) : nil
        )
        try say(json ? try report.json : report.text)
        guard strict ? report.isReady : report.automatic != nil else { throw ExitCode.failure }
    }

    private func runOnProcess(_ pid: Int32) throws {
        let report: ProcessReport
        do throws(ProcessRefusal) { report = try ProcessReport(processID: pid) } catch {
            Thread.write("error: \(error)\n", to: 2)
            // EX_NOINPUT of sysexits.h.
            throw ExitCode(66)
        }
        try say(json ? try report.json : report.text)
        if strict, !report.isReady { throw ExitCode.failure }
    }
}
