// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import NoriaSystem

@main
struct NoriaCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "noria",
        abstract: "The production event loop for Swift, at work.",
        version: "0.1.0 (in development)",
        subcommands: [
            TourCommand.self, DoctorCommand.self, EchoCommand.self, OffloadCommand.self,
            WorkCommand.self,
        ]
    )

    static func main() {
        Descriptor.fillStandardStreams()
        main(nil)
    }
}
