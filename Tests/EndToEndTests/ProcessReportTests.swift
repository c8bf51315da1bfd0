// SPDX-License-Identifier: Apache-2.0
import FoundationEssentials
import Glibc
import NoriaSystem
import TestSupport
import Testing

@Suite("noria doctor --pid, on real services of every kind")
struct ProcessReportTests {
    /// The keys that the help promises, written down once more.
    struct Report: Decodable {
        struct Row: Decodable {
            let name: String
            let state: String
            let value: Int?
            let unit: String?
            let finding: String
            let evidence: String
            let advice: String?
        }

        struct Snapshot: Decodable {
            struct Runtime: Decodable {
                struct Loop: Decodable {
                    let index: Int
                    let stalls: Int
                }
                let phase: String
                let taskCount: Int
                let eventLoops: [Loop]
            }
            let writtenAt: UInt64
            let processID: Int32
            let isEmbedded: Bool
            let isDebug: Bool
            let shutdownDeadlineSeconds: Double
            let uncaughtErrorHandler: String
            let snapshot: Runtime
        }

        let processID: Int32
        let name: String
        let commandLine: [String]
        let user: String
        let kind: String
        let evidence: String
        let steps: [Row]
        let limits: [Row]
        let snapshot: Snapshot?
        let snapshotAgeSeconds: Double?

        func row(_ name: String) throws -> Row {
            try #require((steps + limits).first { $0.name == name })
        }

        /// The state of each of the four steps.
        var states: [String: String] {
            Dictionary(uniqueKeysWithValues: steps.map { ($0.name, $0.state) })
        }
    }

    static func report(of process: ChildProcess) throws -> Report {
        let doctor = try ChildProcess("noria", ["doctor", "--pid", "\(process.pid)", "--json"])
        try doctor.expectExit(.code(0), seconds: 30)
        let report = try JSONDecoder().decode(Report.self, from: Data(doctor.output.all().utf8))
        #expect(report.processID == process.pid)
        #expect(try report.row("descriptors").value ?? 0 > 2)
        #expect(try report.row("threads").value ?? 0 > 0)
        #expect(try report.row("involuntary switches").state != "unknown")
        for row in report.steps + report.limits where row.state == "change" {
            #expect(row.advice != nil, "\(row)")
        }
        return report
    }

    /// A program of the machine's that says `ready`; nil, and said so, where there is none.
    private static func start(
        _ words: [String],
        needs test: [String],
        environment: [String: String] = [:]
    ) throws -> ChildProcess? {
        let probe = try ChildProcess("/usr/bin/env", test)
        guard try probe.waitForExit(seconds: 60) == .code(0) else {
            print("skipped: '\(test.joined(separator: " "))' fails on this machine")
            return nil
        }
        let process = try ChildProcess("/usr/bin/env", words, environment: environment)
        try Waiting.until("the program to be ready", seconds: 60) {
            process.output.text.contains("ready")
        } seen: {
            process.errors.text
        }
        return process
    }

    // MARK: Python

    private static let python = """
        import asyncio, signal, sys, threading
        async def main():
            await asyncio.start_server(lambda reader, writer: None, '127.0.0.1', 0)
            if 'handler' in sys.argv:
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: None)
            print('ready', flush=True)
            while 'blocks' in sys.argv:
                __import__('time').sleep(0.2)
            await asyncio.sleep(600)
        if 'uvloop' in sys.argv or 'imported' in sys.argv:
            import uvloop
        if 'uvloop' in sys.argv:
            uvloop.run(main())
        elif 'thread' in sys.argv:
            thread = threading.Thread(target=asyncio.run, args=(main(),))
            thread.start()
            thread.join()
        else:
            asyncio.run(main())
        """

    @Test(
        "asyncio and uvloop, in debug mode, with a handler of SIGTERM, and blocked",
        arguments: [
            ([], "asyncio", [:]), (["imported"], "asyncio", [:]), (["uvloop"], "uvloop", [:]),
            (["uvloop", "handler"], "uvloop", [:]), (["handler", "blocks"], "asyncio", [:]),
            (["thread"], "asyncio", [:]), ([], "asyncio", ["PYTHONASYNCIODEBUG": "1"]),
            (["uvloop"], "uvloop", ["PYTHONASYNCIODEBUG": "1"]),
        ] as [([String], String, [String: String])]
    )
    func python(arguments: [String], kind: String, environment: [String: String]) throws {
        let needsUvloop = arguments.contains { $0 == "uvloop" || $0 == "imported" }
        let module = needsUvloop ? "uvloop" : "asyncio"
        guard
            let process = try Self.start(
                ["python3", "-c", Self.python] + arguments,
                needs: ["python3", "-c", "import \(module)"],
                environment: environment
            )
        else { return }
        let report = try Self.report(of: process)
        #expect(report.kind == kind, "\(report.evidence)")
        #expect(
            report.states == [
                "policy": kind == "uvloop" ? "ok" : "change",
                "executors": arguments.contains("blocks") ? "change" : "unknown",
                "debug": environment.isEmpty ? "ok" : "change",
                "exception handler": "unknown",
                "shutdown": arguments.contains("handler") ? "ok" : "change",
            ],
            "\(report)"
        )
        #expect(report.snapshot == nil)
    }

    // MARK: Node and Go

    @Test(
        "Node: its own handler of SIGTERM proves nothing",
        arguments: [[], ["--inspect=127.0.0.1:0"]]
    )
    func node(options: [String]) throws {
        let program = """
            require('http').createServer((request, response) => response.end())
                .listen(0, '127.0.0.1', () => console.log('ready'))
            """
        guard
            let process = try Self.start(
                ["node"] + options + ["-e", program],
                needs: ["node", "--version"],
                environment: ["NODE_ENV": "production", "NODE_OPTIONS": ""]
            )
        else { return }
        let report = try Self.report(of: process)
        #expect(report.kind == "node")
        #expect(
            report.states == [
                "policy": "ok", "executors": "unknown",
                "debug": options.isEmpty ? "ok" : "change", "exception handler": "unknown",
                "shutdown": "unknown",
            ],
            "\(report)"
        )
    }

    @Test("Go, stripped, with and without signal.Notify", arguments: [false, true])
    func go(isNotified: Bool) throws {
        let folder = try TemporaryFolder()
        let program = """
            package main
            import ("fmt"; "net"; "os"; "os/signal"; "syscall")
            func main() {
                listener, _ := net.Listen("tcp", "127.0.0.1:0")
                stop := make(chan os.Signal, 1)
                \(isNotified ? "signal.Notify" : "_ = syscall.SIGTERM; signal.Reset(); _ = fmt.Sprint")(
                    stop, syscall.SIGTERM)
                fmt.Println("ready")
                for { listener.Accept() }
            }
            """
        let source = "\(folder.path)/main.go"
        try SystemFile.write(program, to: source)
        guard
            let build = try? ChildProcess(
                "/usr/bin/env",
                ["go", "build", "-ldflags", "-s -w", "-o", "\(folder.path)/service", source],
                environment: ["GO111MODULE": "off"]
            ), try build.waitForExit(seconds: 300) != .code(127)
        else {
            print("skipped: there is no go on this machine")
            return
        }
        try build.expectExit(.code(0))
        let process = try ChildProcess("\(folder.path)/service", [])
        try process.output.line(containing: "ready")
        let report = try Self.report(of: process)
        #expect(report.kind == "go")
        #expect(report.evidence.contains("go1."))
        #expect(
            report.states == [
                "policy": "ok", "executors": "ok", "debug": "ok", "exception handler": "unknown",
                "shutdown": isNotified ? "unknown" : "change",
            ],
            "\(report)"
        )
    }

    // MARK: What is none of these

    @Test("A program of an unknown kind has a report as well, and --strict counts what is wrong")
    func unknown() throws {
        let process = try ChildProcess(
            "/bin/sh",
            ["-c", "trap '' TERM; echo ready; exec tail -f /dev/null"]
        )
        try process.output.line(containing: "ready")
        let report = try Self.report(of: process)
        #expect(report.kind == "unknown")
        #expect(try report.row("policy").state == "unknown")
        let shutdown = try report.row("shutdown")
        #expect(shutdown.state == "change")
        #expect(shutdown.finding.contains("SIGTERM is ignored"))
        let strict = try ChildProcess("noria", ["doctor", "--pid", "\(process.pid)", "--strict"])
        try strict.expectExit(.code(1), seconds: 30)
        let text = try strict.output.all()
        #expect(text.contains("✘ shutdown"))
        #expect(text.contains("? policy"))
        #expect(text.contains("-> "))
        // It was looked at, and goes on as before.
        process.signal(SIGKILL)
        #expect(try process.waitForExit() == .signal(SIGKILL))
    }

    @Test("No process, a zombie, a thread, a thread of the kernel: each is refused with a reason")
    func refusals() throws {
        func refusal(_ pid: String) throws -> String {
            let doctor = try ChildProcess("noria", ["doctor", "--pid", pid])
            try doctor.expectExit(.code(66))
            #expect(try doctor.output.all().isEmpty)
            let text = try doctor.errors.all()
            #expect(text.hasPrefix("error: ") && text.split(separator: "\n").count == 1, "\(text)")
            return text
        }
        // The largest number that the kernel gives is one less than 4 Mi.
        #expect(try refusal("4194304").contains("there is no process 4194304 here"))
        // A child that ends when its parent is 'tail', which never waits for it.
        let script = """
            while grep -q sh /proc/$$/comm; do sleep 0.01; done & echo child $!
            exec tail -f /dev/null
            """
        let parent = try ChildProcess("/bin/sh", ["-c", script])
        let child = try parent.output.line(containing: "child ").dropFirst(6)
        try Waiting.until("the child to be a zombie") {
            (try? SystemFile.text(of: "/proc/\(child)/status"))?.contains("State:\tZ") == true
        }
        #expect(try refusal("\(child)").contains("(a zombie)"))
        let server = try EchoServer(try #require(Backends.all.first))
        let threads = LeakCheck.entries(of: "/proc/\(server.process.pid)/task")
        let thread = try #require(threads.first { $0 != "\(server.process.pid)" })
        #expect(try refusal(thread).contains("of process \(server.process.pid)"))
        if let text = try? SystemFile.text(of: "/proc/2/status"), text.contains("kthreadd") {
            #expect(try refusal("2").contains("a thread of the kernel"))
        } else {
            print("skipped: no thread of the kernel is seen here")
        }
    }

    @Test("Without the permission it says whose process it is")
    func permission() throws {
        let program = "\(ChildProcess.productFolder)/noria"
        let other = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
        guard getuid() == 0,
            try ChildProcess("/usr/bin/env", other + ["test", "-x", program]).waitForExit()
                == .code(0)
        else {
            print("skipped: this user can't become another one that may run \(program)")
            return
        }
        let doctor = try ChildProcess(
            "/usr/bin/env",
            other + [program, "doctor", "--pid", "\(getpid())"]
        )
        try doctor.expectExit(.code(66))
        let text = try doctor.errors.all()
        #expect(text.contains("belongs to user 0"), "\(text)")
        #expect(text.contains("run this as one of them"), "\(text)")
    }
}
