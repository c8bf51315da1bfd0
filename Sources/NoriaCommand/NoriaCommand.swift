// SPDX-License-Identifier: Apache-2.0
import ArgumentParser

@main
struct NoriaCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "noria",
        abstract: "The production event loop for Swift, at work.",
        subcommands: [EchoCommand.self, DoctorCommand.self]
    )
}
