// SPDX-License-Identifier: Apache-2.0
import FoundationEssentials
import TestSupport
import Testing

@testable import Noria
@testable import NoriaSystem

@Suite("The report of a process, from files made for it")
struct ProcessReportTests {
    @Test("A service over asyncio: every row, each with its evidence")
    func plain() throws {
        let report = try ProcessFixture().report()
        #expect(report.kind == .asyncio)
        #expect(
            report.rows.map(\.name) == [
                "policy", "executors", "debug", "exception handler", "shutdown", "descriptors",
                "threads", "processor quota", "involuntary switches", "CLOSE_WAIT", "TIME_WAIT",
            ]
        )
        for row in report.rows {
            #expect(!row.finding.isEmpty && !row.evidence.isEmpty, "\(row)")
            if row.state == .change { #expect(row.advice != nil, "\(row)") }
        }
        let states = Dictionary(uniqueKeysWithValues: report.rows.map { ($0.name, $0.state) })
        #expect(states["policy"] == .change)
        #expect(states["executors"] == .unknown)
        #expect(states["debug"] == .ok)
        #expect(states["exception handler"] == .unknown)
        #expect(states["shutdown"] == .ok)
        #expect(states["descriptors"] == .ok)
        #expect(states["TIME_WAIT"] == .ok)
    }

    @Test("uvloop needs its library and libuv's eventfd; without that asyncio's loop runs")
    func uvloop() throws {
        let maps = ProcessFixture.maps([
            "/none/python3.11", ProcessFixture.asyncioLibrary, ProcessFixture.uvloopLibrary,
        ])
        let imported = try ProcessFixture(["maps": maps])
        #expect(try imported.report().kind == .asyncio)
        #expect(try imported.row("policy").finding.contains("uvloop is imported"))
        let running = try ProcessFixture(["maps": maps], links: ["fd/6": "anon_inode:[eventfd]"])
        #expect(try running.report().kind == .uvloop)
        #expect(try running.row("policy").state == .ok)
    }

    @Test("Python without epoll or without a mapped asyncio is not called asyncio")
    func python() throws {
        let idle = try ProcessFixture(links: ["fd/3": ""])
        #expect(try idle.report().kind == .python)
        #expect(try idle.row("policy").state == .unknown)
        let builtIn = try ProcessFixture(["maps": ProcessFixture.maps(["/none/python3.11"])])
        #expect(try builtIn.report().kind == .python)
        #expect(try builtIn.row("policy").state == .unknown)
        #expect(try builtIn.report().evidence.contains("built in"))
    }

    @Test(
        "Debug switches of Python are found where Python looks for them, and only there",
        arguments: [
            ("python3\0a.py", "PYTHONASYNCIODEBUG=1", "PYTHONASYNCIODEBUG=1"),
            ("python3\0a.py", "PYTHONASYNCIODEBUG=0", "PYTHONASYNCIODEBUG=0 (0 is on, too)"),
            ("python3\0a.py", "PYTHONASYNCIODEBUG=", nil),
            ("python3\0-E\0a.py", "PYTHONASYNCIODEBUG=1", nil),
            ("python3\0-sI\0a.py", "PYTHONDEVMODE=1", nil),
            ("python3\0-X\0dev\0a.py", "A=1", "-X dev"),
            ("python3\0-u\0-Xdev\0a.py", "A=1", "-X dev"),
            ("python3\0a.py\0-X\0dev", "A=1", nil),
            ("python3\0-W\0-X\0a.py", "A=1", nil),
            ("python3\0-m\0pdb\0a.py", "A=1", "under pdb"),
            ("python3\0-m\0http.server", "A=1", nil),
            ("python3\0a.py", "PYTHONMALLOC=malloc_debug", "PYTHONMALLOC=malloc_debug"),
            ("python3\0-X", "A=1", nil),
            ("python3\0-W\0ignore\0-X\0dev\0a.py", "A=1", "-X dev"),
            ("python3\0-Wignore::ImportWarning\0-X\0dev\0a.py", "A=1", "-X dev"),
            ("python3\0-IX\0dev\0a.py", "A=1", "-X dev"),
            ("python3\0-Im\0pdb\0a.py", "A=1", "under pdb"),
            ("python3\0-Im\0shop", "PYTHONDEVMODE=1", nil),
            ("python3\0-mpdb\0a.py", "A=1", "under pdb"),
            ("python3\0-c\0pass\0-X\0dev", "A=1", nil),
            ("python3\0-WIE\0a.py", "PYTHONDEVMODE=1", "PYTHONDEVMODE=1"),
            ("python3\0-\0-X\0dev", "A=1", nil),
            ("python3\0a.py", "A=1\nPYTHONDEVMODE=1", nil),
        ]
    )
    func pythonDebug(commandLine: String, variable: String, finding: String?) throws {
        let row = try ProcessFixture(["cmdline": commandLine, "environ": "\(variable)\0"])
            .row("debug")
        #expect(row.state == (finding == nil ? .ok : .change), "\(row)")
        if let finding { #expect(row.finding == finding) }
    }

    @Test("Node: what it catches by itself proves nothing, and its switches are found")
    func node() throws {
        func fixture(_ files: [String: String]) throws -> ProcessFixture {
            try ProcessFixture(
                ["maps": ProcessFixture.maps(["/none/node"]), "cmdline": "node\0a.js\0"]
                    .merging(files) { $1 },
                links: ["exe": "/none/node"]
            )
        }
        let plain = try fixture([:])
        #expect(try plain.report().kind == .node)
        #expect(try plain.row("policy").state == .ok)
        #expect(try plain.row("shutdown").state == .unknown)
        #expect(try plain.row("debug").state == .ok)
        for (files, finding) in [
            (["cmdline": "node\0--inspect=9229\0a.js\0"], "--inspect=9229"),
            (["environ": "NODE_OPTIONS=--trace-gc --inspect\0"], "--trace-gc"),
            (["environ": "NODE_ENV=development\0"], "NODE_ENV=development"),
            (["cmdline": "node\0-r\0./a.js\0--inspect\0b.js\0"], "--inspect"),
            (["cmdline": "node\0--env-file\0.env\0--prof\0b.js\0"], "--prof"),
        ] {
            let row = try fixture(files).row("debug")
            #expect(row.state == .change)
            #expect(row.finding == finding)
        }
        // What stands behind the program's name is the program's.
        #expect(try fixture(["cmdline": "node\0a.js\0--inspect\0"]).row("debug").state == .ok)
        #expect(try fixture(["cmdline": "node\0-r\0--inspect\0a.js\0"]).row("debug").state == .ok)
        for option in ["warnings", "uncaught", "deprecation", "exit", "sigint"] {
            let row = try fixture(["cmdline": "node\0--trace-\(option)\0a.js\0"]).row("debug")
            #expect(row.state == .ok, "\(row)")
        }
        for quiet in [
            ["environ": "NODE_OPTIONS=--unhandled-rejections=none\0"],
            ["cmdline": "node\0--unhandled-rejections\0none\0a.js\0"],
        ] {
            #expect(try fixture(quiet).row("exception handler").state == .change)
        }
    }

    @Test("SwiftNIO and Noria are told by the names of their threads")
    func threadNames() throws {
        let links = ["exe": "/none/service"]
        let files = ["maps": ProcessFixture.maps(["/none/service"])]
        let plain = try ProcessFixture(files, links: links)
        #expect(try plain.report().kind == .unknown)
        #expect(try plain.row("policy").state == .unknown)
        #expect(try plain.row("shutdown").state == .unknown)
        try plain.thread(78, named: "NIO-ELT-0-#0")
        try plain.thread(79, named: "NIO-ELT-0-#1")
        #expect(try plain.report().kind == .swiftNIO)
        #expect(try plain.look().loopThreads == [78, 79])
        #expect(try plain.row("shutdown").state == .ok)
        // A runtime may have SwiftNIO's loops beside its own.
        try plain.thread(80, named: "noria watchdog")
        #expect(try plain.report().kind == .noria)
        // Without a snapshot nothing is claimed.
        #expect(try plain.row("policy").state == .unknown)
        #expect(try plain.row("executors").state == .unknown)
        #expect(try plain.row("shutdown").state == .ok)
        #expect(try plain.report().snapshot == nil)
    }

    @Test("A loop's thread that waits elsewhere than for events blocks")
    func blocked() throws {
        let fixture = try ProcessFixture()
        #expect(try fixture.row("executors").state == .unknown)
        try fixture.thread(77, named: "python3", in: "hrtimer_nanosleep")
        let row = try fixture.row("executors")
        #expect(row.state == .change)
        #expect(row.finding.contains("in 20 of 20 looks it waited elsewhere"))
        #expect(row.finding.contains("hrtimer_nanosleep"))
        try fixture.thread(77, named: "python3", state: "R", in: "0")
        #expect(try fixture.row("executors").finding.contains("computes: it ran in 20 of 20"))
        // A kernel that does not tell is no fault of the process.
        try fixture.thread(77, named: "python3", in: "0")
        #expect(try fixture.row("executors").state == .unknown)
        try fixture.write(
            ProcessFixture.status(caught: [15], other: "State:\tT (stopped)\n"),
            to: "status"
        )
        #expect(try fixture.row("executors").finding.contains("stopped"))
    }

    @Test("Of Python's threads those that wait for events are held to be loops, and no other")
    func loopInThread() throws {
        let fixture = try ProcessFixture()
        // The main thread waits in join() while another one runs the loop.
        try fixture.thread(77, named: "python3", in: "futex_do_wait")
        try fixture.thread(78, named: "python3")
        let row = try fixture.row("executors")
        #expect(row.state == .unknown)
        #expect(row.finding.contains("waited for events 20 times and ran 0 times"), "\(row)")
        // One that waits for a socket, by poll(2), runs no loop of asyncio's.
        try fixture.thread(78, named: "python3", in: "poll_schedule_timeout")
        #expect(try fixture.row("executors").state == .unknown)
        #expect(try fixture.row("executors").finding.contains("runs a loop is not known"))
    }

    @Test("A tracer is seen")
    func tracer() throws {
        let status = ProcessFixture.status(caught: [15], other: "TracerPid:\t4711\n")
        let row = try ProcessFixture(["status": status]).row("debug")
        #expect(row.state == .change)
        #expect(row.finding.contains("4711"))
    }

    @Test("What a stranger named itself can't steer a terminal, nor fill it")
    func printable() throws {
        #expect(
            "\(ProcessRefusal("a\u{1b}[2Jb\u{202e}c\u{2028}d\u{9b}e\u{7f}é"))"
                == "a?[2Jb?c?d?e?é"
        )
        let long = String(repeating: "x\u{301}", count: 50_000)
        let maps = ProcessFixture.maps(["/none/python3.11", "/\(long)/_asyncio.so"])
        let text = try ProcessFixture(["maps": maps]).report().text
        #expect(!text.contains("/_asyncio.so"))
        #expect(text.split(separator: "\n").allSatisfy { $0.unicodeScalars.count <= 2000 })
        // In JSON they are escaped: it says the same.
        let words = ["a\u{9b}b\u{7f}c\u{202e}d\u{e0001}e", "é"]
        let report = try ProcessFixture(["cmdline": words.joined(separator: "\0")]).report()
        let json = try report.json
        #expect(json.contains(#"a\u009bb\u007fc\u202ed\udb40\udc01e"#))
        let decoded = try JSONDecoder().decode(ProcessReport.self, from: Data(json.utf8))
        #expect(decoded.commandLine == words)
    }

    @Test("Go without headers of sections: what can't be told is called so")
    func strippedGo() throws {
        let fixture = try ProcessFixture(links: ["exe": ""])
        // A header, one program header for a note, and the note of Go's linker.
        var file = [UInt8](repeating: 0, count: 64 + 56 + 20)
        file.replaceSubrange(0..<6, with: [0x7f, 0x45, 0x4c, 0x46, 2, 1])
        (file[32], file[54], file[56]) = (64, 56, 1)
        (file[64], file[64 + 8], file[64 + 32]) = (4, 120, 20)
        (file[120], file[124], file[128]) = (4, 1, 4)
        file.replaceSubrange(132..<134, with: "Go".utf8)
        try fixture.write(String(decoding: file, as: UTF8.self), to: "exe")
        #expect(try fixture.report().kind == .go)
        let row = try fixture.row("shutdown")
        #expect(row.state == .unknown)
        #expect(row.finding.contains("whether signal.Notify is in the program can't be told"))
        #expect(try fixture.row("executors").state == .ok)
    }

    @Test("The text has a mark for each row, and what to do below")
    func text() throws {
        let fixture = try ProcessFixture(["cmdline": "python3\0\u{1b}[2J\0"])
        let text = try fixture.report().text
        let lines = text.split(separator: "\n").map(String.init)
        #expect(lines[0] == "process 77, service, of user 1000")
        #expect(lines[1] == "python3 ?[2J")
        #expect(lines[2] == "asyncio")
        let policy = try #require(lines.firstIndex { $0.hasPrefix("✘ policy") })
        #expect(lines[policy + 1].contains("-> run on uvloop: pip install uvloop"))
        #expect(lines.contains { $0.hasPrefix("✔ shutdown") })
        #expect(lines.contains { $0.hasPrefix("? executors") })
        #expect(lines.last == "1 to change, 2 unknown")
    }

    @Test("The JSON's keys are those that are promised")
    func json() throws {
        let report = try ProcessFixture().report()
        let json = try report.json
        var keys: Set<String> = []
        for line in json.split(separator: "\n") where line.contains("\" : ") {
            keys.insert(String(line.split(separator: "\"")[1]))
        }
        #expect(
            keys == [
                "processID", "name", "commandLine", "user", "kind", "evidence", "steps", "limits",
                "state", "value", "unit", "finding", "advice",
            ]
        )
        let decoded = try JSONDecoder().decode(ProcessReport.self, from: Data(json.utf8))
        #expect(decoded.rows.map(\.name) == report.rows.map(\.name))
        #expect(!decoded.isReady)
    }
}
