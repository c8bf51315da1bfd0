// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@Suite("a pool of worker processes")
struct ProcessPoolTests {
    /// What a probe printed, on one backend.
    private func lines(
        _ name: String,
        _ backend: String,
        environment: [String: String] = [:]
    ) throws -> [String] {
        let process = try ChildProcess(
            "NoriaProbe",
            [name],
            environment: environment.merging(["NORIA_BACKEND": backend]) { $1 }
        )
        let exit = try process.waitForExit(seconds: 30)
        let text = try process.output.all()
        #expect(exit == .code(0), "\(text) \(process.errors.text)")
        return text.split(separator: "\n").map(String.init)
    }

    @Test(
        "runs typed calls, and each way for a worker to end costs its own call",
        arguments: Backends.all
    )
    func plain(backend: String) throws {
        let lines = try lines("process pool", backend)
        #expect(
            lines == [
                "before the runtime", "snapshot before: true",
                "text: hello, another process: true", "box: [1.5, inf]", "nested: 7",
                "hidden: HiddenCall: a worker can't find this type: make it internal, neither"
                    + " private nor inside a function, and a part of the workers' program",
                "trap: killed(signal: \(Self.trap))", "kill: killed(signal: signal 9)",
                "throwing: callFailed", "talk: killed(signal: signal 6)", "exit: exited(code: 3)",
                "calls: 12, failures: 5", "deaths: 4, replacements: 4",
            ]
        )
    }

    /// What the compiler traps with: `ud2` is SIGILL, `brk` SIGTRAP.
    private static var trap: String {
        #if arch(x86_64)
        "signal 4"
        #else
        "signal 5"
        #endif
    }
}
