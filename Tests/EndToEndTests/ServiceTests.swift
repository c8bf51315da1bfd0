// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@Suite("Services of swift-service-lifecycle, both ways round")
struct ServiceTests {
    private func start(_ kind: String, _ backend: String) throws -> ChildProcess {
        try ChildProcess(
            "NoriaProbe",
            ["services", kind],
            environment: ["NORIA_BACKEND": backend]
        )
    }

    private func port(of line: String) -> Int {
        Int(line.drop { $0 != "." }.drop { $0 != ":" }.dropFirst().prefix { $0.isNumber }) ?? 0
    }

    private func ask(_ client: BlockingClient, _ word: String) throws {
        try client.send(Array("\(word)\n".utf8))
        #expect(try client.receive(exactly: word.utf8.count + 1) == Array("\(word)\n".utf8))
    }

    @Test(
        "they drain in reverse: who stands before one that still drains goes on serving",
        arguments: Backends.all
    )
    func reverse(backend: String) throws {
        let process = try start("ordered", backend)
        let port = port(of: try process.output.line(containing: "front: listening on "))
        let client = try BlockingClient(port: port)
        try ask(client, "before")
        process.signal(SIGTERM)
        try process.output.line(containing: "patient: told")
        // The shutdown drains, and the listener is not at its turn.
        try ask(client, "between")
        let late = try BlockingClient(port: port)
        try ask(late, "end")
        #expect(try client.receiveAll().isEmpty)
        client.close()
        #expect(try late.receiveAll().isEmpty)
        late.close()
        try process.expectExit(.code(0))
        let lines = try process.output.all().split(separator: "\n").map(String.init)
        #expect(
            lines.suffix(6) == [
                "patient: told", "patient: ended", "front: ended", "ticking: told",
                "ticking: ended", "flush",
            ],
            "\(lines)"
        )
        let errors = try process.errors.all()
        #expect(errors.contains("shutdown: service LineService ended "), "\(errors)")
        #expect(errors.contains("shutdown: 3 services drained in "), "\(errors)")
    }

    @Test(
        "a second signal ends those that still drain, and the process ends by it",
        arguments: Backends.all
    )
    func cutShort(backend: String) throws {
        let process = try start("ordered", backend)
        try process.output.line(containing: "front: listening on ")
        process.signal(SIGTERM)
        try process.output.line(containing: "patient: told")
        // Another number, which is not taken for the same press of a key.
        process.signal(SIGINT)
        try process.errors.line(containing: "shutdown: cancelling body")
        try process.expectExit(.signal(SIGINT))
    }

    @Test(
        "one that throws while it drains does not disarm the deadline, and the stuck one is named",
        arguments: Backends.all
    )
    func throwsLate(backend: String) throws {
        let process = try start("throws late", backend)
        try process.expectExit(.code(70))
        let errors = try process.errors.all()
        #expect(errors.contains("service StubbornService"), "\(errors)")
        #expect(errors.contains("service FailingService ended"), "\(errors)")
    }

    @Test("one that throws ends the others, and the program with 1", arguments: Backends.all)
    func throwing(backend: String) throws {
        let process = try start("throws", backend)
        try process.expectExit(.code(1))
        #expect(try process.errors.all().contains("error: Mistake()"))
        #expect(try process.output.all() == "ticking: ended\nflush\n")
    }

    @Test("none is no service to wait for")
    func none() throws {
        let process = try start("none", Backends.all[0])
        try process.expectExit(.code(0))
        #expect(try process.output.all() == "flush\n")
    }

    @Test("in a group of the program's own the runtime ends by the group", arguments: Backends.all)
    func grouped(backend: String) throws {
        let process = try ChildProcess(
            "EmbeddedProbe",
            ["grouped", "0"],
            environment: ["NORIA_BACKEND": backend]
        )
        let port = port(of: try process.output.line(containing: "listening on "))
        let client = try BlockingClient(port: port)
        try ask(client, "before")
        process.signal(SIGTERM)
        #expect(try client.receiveAll().isEmpty)
        client.close()
        try process.expectExit(.code(0))
        let lines = try process.output.all().split(separator: "\n").map(String.init)
        #expect(
            lines.dropFirst() == ["lines: ended", "group: ended, draining", "runtime: ended"],
            "\(lines)"
        )
        let errors = try process.errors.all()
        #expect(errors.contains("a graceful shutdown of its service group"), "\(errors)")
    }
}
