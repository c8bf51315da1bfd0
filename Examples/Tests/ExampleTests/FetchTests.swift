// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@Suite(
    "Fetch: SwiftNIO's own loops under AsyncHTTPClient are watched, and end with the runtime",
    .serialized
)
struct FetchTests {
    /// The program, answered once with five bytes.
    private func fetch(
        _ backend: String,
        _ arguments: [String] = [],
        environment: [String: String] = [:]
    ) throws -> ChildProcess {
        let server = try BlockingListener()
        let process = try ChildProcess(
            "Fetch",
            ["http://127.0.0.1:\(server.port)/"] + arguments,
            environment: ["NORIA_BACKEND": backend, "NIO_SINGLETON_GROUP_LOOP_COUNT": "2"]
                .merging(environment) { $1 }
        )
        let client = try server.accept()
        while try client.line() != "" {}
        try client.send(Array("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".utf8))
        return process
    }

    @Test(
        "a page is fetched; a singleton that can't be shut down is no error, and another is shut down",
        arguments: Backends.all
    )
    func fetches(backend: String) throws {
        for (arguments, loopCount) in [([], 2), (["own"], 1)] {
            let process = try fetch(backend, arguments)
            try process.expectExit(.code(0))
            #expect(
                try process.output.all() == "200: 5 bytes\n0 stalls of \(loopCount) loops\n"
            )
            let errors = try process.errors.all()
            #expect(errors.contains("'SwiftNIO group http client' done in"), "\(errors)")
            #expect(!errors.contains("ERROR") && !errors.contains("blocked"), "\(errors)")
        }
    }

    @Test(
        "a loop that is blocked is named with its group and the function, and counted",
        arguments: Backends.all
    )
    func blocked(backend: String) throws {
        let process = try fetch(
            backend,
            ["singleton", "4000"],
            // The names of an unoptimised build's calls take their time on a busy machine.
            environment: ["NORIA_STALL_REPORT_THRESHOLD": "200ms"]
        )
        try process.expectExit(.code(0), seconds: 30)
        let (output, errors) = (try process.output.all(), try process.errors.all())
        #expect(output == "200: 5 bytes\n1 stalls of 2 loops\n", "\(output) \(errors)")
        #expect(errors.contains(" of 'http client' is blocked, for "), "\(errors)")
        #expect(errors.contains("blockTheLoop(milliseconds:) at Fetch.swift:"), "\(errors)")
        #expect(errors.contains(" of 'http client' goes on, after a turn of "), "\(errors)")
    }

    @Test("the end waits for a group's loop that is blocked", arguments: Backends.all)
    func waits(backend: String) throws {
        let began = ContinuousClock.now
        let process = try fetch(backend, ["own", "1500"])
        try process.expectExit(.code(0), seconds: 30)
        #expect(began.duration(to: .now) >= .milliseconds(1500))
        let errors = try process.errors.all()
        #expect(errors.contains("'SwiftNIO group http client' done in "), "\(errors)")
    }

    @Test("one that is blocked for ever is named at the deadline", arguments: Backends.all)
    func stuck(backend: String) throws {
        let process = try fetch(
            backend,
            ["own", "600000"],
            environment: ["NORIA_SHUTDOWN_DEADLINE": "5s"]
        )
        try process.expectExit(.code(70), seconds: 30)
        let errors = try process.errors.all()
        let end = errors.firstRange(of: "what has not ended is abandoned:")?.upperBound
        let abandoned = errors[(end ?? errors.endIndex)...]
        #expect(abandoned.contains("task 'SwiftNIO group http client'"), "\(errors)")
        #expect(abandoned.contains("loop 0 of 'http client': "), "\(errors)")
    }

    @Test("a group that the program shuts down itself is let go", arguments: Backends.all)
    func closed(backend: String) throws {
        let process = try fetch(backend, ["closed"])
        try process.expectExit(.code(0))
        let errors = try process.errors.all()
        #expect(try process.output.all() == "200: 5 bytes\n0 loops watched\n", "\(errors)")
        #expect(!errors.contains("ERROR") && !errors.contains("failed"), "\(errors)")
    }
}
