// SPDX-License-Identifier: Apache-2.0
#if NIO
import Glibc
import TestSupport
import Testing

@Suite("noria doctor --pid, on SwiftNIO's own loops")
struct ProcessReportTests {
    @Test("they are told by their threads, and SIGTERM by what takes it", arguments: [false, true])
    func swiftNIO(isSignalled: Bool) throws {
        let arguments = isSignalled ? ["posix", "signal"] : ["posix"]
        let server = try RealProgram.start(arguments, "automatic")
        let doctor = try ChildProcess("noria", ["doctor", "--pid", "\(server.process.pid)"])
        try doctor.expectExit(.code(0), seconds: 30)
        let text = try doctor.output.all()
        let lines = text.split(separator: "\n").map(String.init)
        #expect(lines[2] == "SwiftNIO", "\(text)")
        #expect(lines.contains { $0.hasPrefix("✔ policy") && $0.contains("loops: 2") }, "\(text)")
        #expect(lines.contains { $0.hasPrefix("? executors") }, "\(text)")
        #expect(lines.contains { $0.hasPrefix("? exception handler") }, "\(text)")
        let mark = isSignalled ? "✔" : "✘"
        #expect(lines.contains { $0.hasPrefix("\(mark) shutdown") }, "\(text)")
        // SwiftPM builds tests, and what they start, without optimisation.
        #expect(lines.contains { $0.hasPrefix("✘ debug") && $0.contains("/debug/") }, "\(text)")
        server.process.signal(SIGTERM)
        let exit = try server.process.waitForExit()
        #expect(exit == (isSignalled ? .code(0) : .signal(SIGTERM)))
    }
}
#endif
