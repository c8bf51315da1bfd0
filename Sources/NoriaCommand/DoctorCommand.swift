// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Noria
import NoriaSystem

/// What this machine has, and what to change.
struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Say which kernel interfaces can be had here, and why not the others.",
        discussion: "The exit code is 0 when one of them can be had, else 1."
    )

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup var filter: FilterOptions

    func run() throws {
        try filter.apply()
        let report = MachineReport()
        Thread.write(json ? try report.json : report.text, to: 1)
        if report.automatic == nil { throw ExitCode.failure }
    }
}
