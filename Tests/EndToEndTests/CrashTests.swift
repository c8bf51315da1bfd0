// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@Suite("the toolchain's backtracer does its part under our signals")
struct CrashTests {
    @Test("a trap on a loop is reported with function, file and line", arguments: Backends.all)
    func trap(backend: String) throws {
        let process = try ChildProcess(
            "NoriaProbe",
            ["crash"],
            environment: [
                "NORIA_BACKEND": backend,
                "SWIFT_BACKTRACE": "enable=yes,color=no,interactive=no,threads=crashed",
            ]
        )
        let exit = try process.waitForExit(seconds: 60)
        let errors = try process.errors.all()
        guard !errors.contains("unable to locate swift-backtrace") else {
            return print("skipped: this toolchain has no swift-backtrace")
        }
        #expect(exit == .signal(SIGILL) || exit == .signal(SIGTRAP), "\(exit)")
        #expect(try process.output.all() == "before\n")
        #expect(errors.contains("Program crashed: "), "\(errors)")
        #expect(errors.contains("trapOnPurpose(_:)"), "\(errors)")
        #expect(errors.contains("Crashes.swift:17"), "\(errors)")
    }
}
