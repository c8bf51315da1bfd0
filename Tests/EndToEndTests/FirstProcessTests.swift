// SPDX-License-Identifier: Apache-2.0
import TestSupport
import Testing

@Suite("As the first process of a namespace")
struct FirstProcessTests {
    @Test(
        "orphans are reaped, nobody's own child is taken away, and SIGTERM ends it in order",
        arguments: Backends.all
    )
    func duties(backend: String) throws {
        let namespace = ["--pid", "--fork", "--mount-proc"]
        let attempt = try ChildProcess("/usr/bin/unshare", namespace + ["true"])
        guard try attempt.waitForExit() == .code(0) else {
            print("skipped: no process namespace here: \(try attempt.errors.all())")
            return
        }
        let process = try ChildProcess(
            "/usr/bin/unshare",
            namespace + ["\(ChildProcess.productFolder)/NoriaProbe", "first process"],
            environment: ["NORIA_BACKEND": backend]
        )
        try process.expectExit(.code(0), seconds: 60)
        let lines = try process.output.all().split(separator: "\n").map(String.init)
        let errors = try process.errors.all()
        let expected = [
            "number 1", "late: 9", "parent: 5", "worker: xxxx", "own: 7", "no zombie",
        ]
        #expect(lines == expected, "\(lines) \(errors)")
    }
}
