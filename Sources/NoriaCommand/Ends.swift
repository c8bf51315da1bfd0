// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Noria
import NoriaSystem

/// How the program ends where no runtime says it.
extension ParsableCommand {
    /// Writes the result, and ends with 74 (EX_IOERR of sysexits.h) when nobody can read it.
    func say(_ text: String) throws {
        guard Thread.write(text, to: 1) else {
            Thread.write("error: standard output can't be written\n", to: 2)
            throw ArgumentParser.ExitCode(74)
        }
    }

    /// Runs, or ends as `Runtime.main` does when the configuration or the backend is refused.
    func started<Value>(
        _ run: () throws(RuntimeError) -> RuntimeOutcome<Value>
    ) throws -> RuntimeOutcome<Value> {
        do throws(RuntimeError) { return try run() } catch {
            Thread.write("error: \(error)\n", to: 2)
            throw ArgumentParser.ExitCode(Noria.ExitCode.configuration.rawValue)
        }
    }
}
