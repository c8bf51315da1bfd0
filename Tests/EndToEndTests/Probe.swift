// SPDX-License-Identifier: Apache-2.0
import TestSupport
import Testing

/// `NoriaProbe` in a process of its own, which must end by itself, with code 0.
enum Probe {
    /// The lines of its standard output, and its whole standard error.
    static func finished(
        _ name: String,
        _ backend: String,
        arguments: [String] = [],
        environment: [String: String?] = [:],
        seconds: Int = 60,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> (lines: [String], errors: String) {
        var environment = environment.compactMapValues(\.self)
        environment["NORIA_BACKEND"] = backend
        let process = try ChildProcess("NoriaProbe", [name] + arguments, environment: environment)
        let exit = try process.waitForExit(seconds: seconds)
        let text = try process.output.all()
        let errors = try process.errors.all()
        #expect(exit == .code(0), "\(text) \(errors)", sourceLocation: sourceLocation)
        return (text.split(separator: "\n").map(String.init), errors)
    }
}
