// SPDX-License-Identifier: Apache-2.0
import Glibc
import NoriaSystem
import TestSupport
import Testing

/// Runtimes of our own, which show their snapshots.
extension ProcessReportTests {
    @Test("Noria shows its snapshot, over every backend", arguments: Backends.all)
    func noria(backend: String) throws {
        let server = try EchoServer(
            backend,
            environment: ["NORIA_STALL_THRESHOLD": "10s", "NORIA_STALL_REPORT_THRESHOLD": "20s"]
        )
        let client = try server.connect()
        let report = try Self.report(of: server.process)
        #expect(report.kind == "noria")
        let snapshot = try #require(report.snapshot)
        #expect(snapshot.processID == server.process.pid)
        #expect(snapshot.snapshot.phase == "running")
        #expect(snapshot.snapshot.eventLoops.map(\.index) == [0])
        #expect(snapshot.shutdownDeadlineSeconds == 25)
        #expect(!snapshot.isDebug && !snapshot.isEmbedded)
        #expect(snapshot.uncaughtErrorHandler == "log")
        #expect(report.snapshotAgeSeconds ?? 100 < 10)
        #expect(try report.row("policy").state == (backend == "poll" ? "change" : "ok"))
        #expect(try report.row("policy").finding.hasPrefix("Noria on \(backend)"))
        #expect(try report.row("executors").state == "ok")
        #expect(try report.row("exception handler").state == "ok")
        #expect(try report.row("shutdown").state == "ok")
        client.close()
        #expect(try server.end() == .code(0))
    }

    @Test("Noria: debug mode is seen, and a snapshot that is switched off is not made up")
    func noriaVariables() throws {
        let backend = try #require(Backends.all.first)
        let debug = try EchoServer(backend, environment: ["NORIA_DEBUG": "1"])
        let row = try Self.report(of: debug.process).row("debug")
        #expect(row.state == "change")
        #expect(row.finding.contains("on, by NORIA_DEBUG"))
        let silent = try EchoServer(backend, environment: ["NORIA_PUBLISHES_SNAPSHOT": "off"])
        let report = try Self.report(of: silent.process)
        #expect(report.kind == "noria")
        #expect(report.snapshot == nil)
        #expect(try report.row("policy").state == "unknown")
        #expect(try report.row("shutdown").state == "ok")
        #expect(silent.process.descriptorCount == debug.process.descriptorCount - 1)
    }

    @Test("Noria: a blocked loop is seen while it is blocked, with a fresh snapshot")
    func noriaBlocked() throws {
        let server = try EchoServer(
            try #require(Backends.all.first),
            arguments: ["--block-every", "1", "--block-for", "20000"]
        )
        let client = try server.connect()
        try client.send([1])
        let task = "/proc/\(server.process.pid)/task/\(server.process.pid)/wchan"
        try Waiting.until("the loop to be blocked") {
            (try? SystemFile.text(of: task))?.contains("nanosleep") == true
        }
        let begin = MonotonicClock.now
        // The snapshot is as old as a second when it is looked at, more where nothing has time.
        for _ in 0..<8 {
            let report = try Self.report(of: server.process)
            guard let snapshot = report.snapshot, snapshot.writtenAt > begin else { continue }
            let row = try report.row("executors")
            #expect(row.state == "change")
            #expect(row.finding.contains("nanosleep"))
            return
        }
        Issue.record("no snapshot was written while the loop was blocked")
    }

    @Test("Noria: a stall that is over is told, and is no fault of now")
    func noriaStallOver() throws {
        let server = try EchoServer(
            try #require(Backends.all.first),
            environment: ["NORIA_STALL_THRESHOLD": "200ms"],
            arguments: ["--block-every", "1", "--block-for", "600"]
        )
        let client = try server.connect()
        try client.send([1])
        #expect(try client.receive(exactly: 1) == [1])
        // The first look may find it in the snapshot at its end alone; a busy machine may add one.
        for _ in 0..<8 {
            let row = try Self.report(of: server.process).row("executors")
            guard row.value ?? 0 > 0, row.finding.contains(", 0 of them in this look") else {
                continue
            }
            #expect(row.state == "ok", "\(row)")
            #expect(row.finding.contains(" since its begin"))
            return
        }
        Issue.record("its stalls grew, or were none, in every look")
    }

    @Test("Noria: a limit of 0 for files takes the snapshot, and not the service")
    func noriaFileSizeLimit() throws {
        let program = "\(ChildProcess.productFolder)/noria"
        let process = try ChildProcess(
            "/bin/sh",
            ["-c", "ulimit -f 0; exec \(program) echo --port 0"]
        )
        try process.output.line(containing: "listening on ")
        let tasks = "/proc/\(process.pid)/task"
        let watchdog = try #require(
            LeakCheck.entries(of: tasks).first {
                (try? SystemFile.text(of: "\(tasks)/\($0)/comm")) == "noria watchdog\n"
            }
        )
        /// The calls of write(2) that its thread has made.
        func writeCount() -> Int {
            let text = try? SystemFile.text(of: "\(tasks)/\(watchdog)/io")
            let lines = text?.split(separator: "\n")
            return lines?.first { $0.hasPrefix("syscw: ") }.flatMap { Int($0.dropFirst(7)) } ?? -1
        }
        let begin = writeCount()
        guard begin >= 0 else {
            print("skipped: this kernel does not count the calls of a thread")
            return
        }
        try Waiting.until("two more snapshots to be refused") { writeCount() >= begin + 2 }
        let report = try Self.report(of: process)
        #expect(report.snapshot == nil)
        #expect(try report.row("executors").finding.contains("ulimit -f"))
        process.signal(SIGTERM)
        try process.expectExit(.code(0))
    }
}
