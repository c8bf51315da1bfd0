// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@Suite("A run gives back what it took")
struct RestoredTests {
    @Test(
        "Descriptors, threads, signal dispositions and the mask are equal before and after",
        arguments: Backends.all
    )
    func restored(backend: String) throws {
        let process = try ChildProcess(
            "NoriaProbe",
            ["restored"],
            environment: ["NORIA_BACKEND": backend]
        )
        try process.expectExit(.code(0))
        let text = try process.output.all()
        let expected = [
            "nothing", "sleeps and tasks", "a body that throws", "a listener that is never served",
            "a listener that is served and shut down", "a shutdown by a signal",
            "signals, spawned tasks and sleeps",
            "calls in worker processes, one of them left in the middle", "no backend",
        ]
        #expect(text.split(separator: "\n") == expected.map { "\($0): true" }, "\(text)")
    }

    @Test("50 runs in one process leave it as the first did", arguments: Backends.all)
    func manyRuns(backend: String) throws {
        let factor = getenv("NORIA_SHUTDOWN_FACTOR").flatMap { Int(String(cString: $0)) } ?? 1
        let process = try ChildProcess(
            "NoriaProbe",
            ["many runs", "\(50 * factor)"],
            environment: ["NORIA_BACKEND": backend]
        )
        try process.expectExit(.code(0), seconds: 60 * factor)
        let text = try process.output.all()
        let expected = (1...50 * factor).map { "run \($0): true" } + ["memory bounded: true"]
        #expect(text.split(separator: "\n").map(String.init) == expected, "\(text)")
    }
}
