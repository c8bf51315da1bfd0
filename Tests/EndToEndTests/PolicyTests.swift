// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@Suite("where the kernel refuses io_uring, the policy falls back and says why")
struct PolicyTests {
    private static let reasons = [("eperm", "EPERM"), ("enosys", "ENOSYS")]

    @Test("a server falls back to epoll and logs the reason", arguments: reasons)
    func fallsBack(refusal: String, name: String) throws {
        let process = try ChildProcess(
            "noria",
            ["echo", "--port", "0", "--refuse-io-uring", refusal]
        )
        let line = try process.output.line(containing: "listening on")
        #expect(line.contains("backend=epoll"))
        try process.errors.line(containing: "backend: epoll (io_uring: ")
        #expect(process.errors.text.contains("(\(name))"))
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }

    @Test("a server that requires io_uring does not start, with 78", arguments: reasons)
    func required(refusal: String, name: String) throws {
        let process = try ChildProcess(
            "noria",
            ["echo", "--port", "0", "--backend", "io_uring", "--refuse-io-uring", refusal]
        )
        try process.expectExit(.code(78))
        let text = try process.errors.all()
        #expect(text.contains("(\(name))"))
        #expect(text.contains("NORIA_BACKEND=automatic"))
    }

    @Test("the doctor names the reason and what automatic takes", arguments: reasons)
    func doctor(refusal: String, name: String) throws {
        let process = try ChildProcess("noria", ["doctor", "--refuse-io-uring", refusal])
        try process.expectExit(.code(0))
        let lines = try process.output.all().split(separator: "\n")
        #expect(lines.first { $0.hasPrefix("io_uring") }?.contains("no ") == true)
        #expect(lines.first { $0.hasPrefix("io_uring") }?.contains("(\(name))") == true)
        #expect(lines.contains("automatic  takes epoll"))
    }

    @Test("the doctor's JSON has the same in it")
    func doctorJSON() throws {
        let process = try ChildProcess(
            "noria",
            ["doctor", "--json", "--refuse-io-uring", "eperm"]
        )
        try process.expectExit(.code(0))
        let text = try process.output.all()
        #expect(text.contains(#""automatic" : "epoll""#))
        #expect(text.contains(#""isAvailable" : false"#))
    }
}
