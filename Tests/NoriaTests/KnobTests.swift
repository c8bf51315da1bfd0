// SPDX-License-Identifier: Apache-2.0
import Logging
import NoriaSystem
import Testing

@testable import Noria

@Suite("The table of knobs is what is read, checked and shown")
struct KnobTests {
    private let plain = RuntimeConfiguration.production

    /// A value that each variable refuses, and one that it takes, in the words of `--config`.
    private static let values: [(variable: String, bad: [String], good: String)] = [
        ("NORIA_BACKEND", ["nonsense", "EPOLL", "simulated"], "epoll"),
        ("NORIA_SHUTDOWN_DEADLINE", ["3", "9ms", "86401s", "-1s"], "10ms"),
        ("NORIA_SHUTDOWN_GRACE", ["3", "-1s", "13s"], "12s"),
        ("NORIA_SHUTDOWN_REPORT", ["report.json"], "/run/report.json"),
        ("NORIA_SHUTDOWN_SIGNALS", ["TERM", "SIGTERM,", "SIGTERM SIGINT", "15"], "SIGHUP,SIGTERM"),
        ("NORIA_LOG_LEVEL", ["loud", "INFO"], "trace"),
        ("NORIA_LOOPS", ["0", "1025", "two", "1.5"], "1024"),
        ("NORIA_JOBS_PER_TURN", ["0", "1000001", "-1", "1e3"], "1"),
        ("NORIA_TIME_PER_TURN", ["0s", "11s", "1 ms"], "1us"),
        ("NORIA_COMPLETIONS_PER_TURN", ["0", "65537"], "65536"),
        ("NORIA_SOCKET_NO_DELAY", ["yes", "ON", "2"], "off"),
        ("NORIA_SOCKET_KEEP_ALIVE", ["maybe"], "on"),
        ("NORIA_SOCKET_RECEIVE_BUFFER", ["1023", "1073741825", "auto"], "1024"),
        ("NORIA_SOCKET_SEND_BUFFER", ["1023", "1073741825", "0"], "1073741824"),
        ("NORIA_SOCKET_REUSE_ADDRESS", ["true"], "off"),
        ("NORIA_SOCKET_IPV6_ONLY", ["1"], "on"),
        ("NORIA_SOCKET_BACKLOG", ["-1", "1048577"], "0"),
        ("NORIA_STREAM_HIGH_MARK", ["0", "1048577", "64KiB"], "16384"),
        ("NORIA_STREAM_LOW_MARK", ["-1", "65537"], "65536"),
        ("NORIA_STREAM_OUTBOUND_LIMIT", ["0", "65535", "1073741825"], "65536"),
        ("NORIA_STREAM_IDLE_TIMEOUT", ["0s", "999us", "86401s", "60"], "1ms"),
        ("NORIA_STREAM_READ_TIMEOUT", ["0s", "-1s", "never"], "none"),
        ("NORIA_STREAM_WRITE_TIMEOUT", ["0s", "86401s"], "86400s"),
        ("NORIA_STREAM_CONNECTION_LIMIT", ["0", "1048577", "-1"], "1048576"),
        ("NORIA_STREAM_LINGER_TIMEOUT", ["3601s", "1"], "0s"),
        ("NORIA_STREAM_PROXY_HEADER_TIMEOUT", ["0s", "3601s", "5"], "1ms"),
        ("NORIA_BLOCKING_THREADS", ["0", "1025", "all"], "1"),
        ("NORIA_BLOCKING_MAXIMUM_THREADS", ["0", "1025"], "1024"),
        ("NORIA_BLOCKING_QUEUE", ["0", "1048577", "none"], "1"),
        ("NORIA_BLOCKING_WHEN_FULL", ["wait", "REFUSE"], "refuse"),
        ("NORIA_BLOCKING_IDLE_TIMEOUT", ["0s", "999us", "86401s"], "1ms"),
        ("NORIA_COMPUTE_THREADS", ["0", "1025", "all"], "1"),
        ("NORIA_COMPUTE_MAXIMUM_THREADS", ["0", "1025"], "1024"),
        ("NORIA_COMPUTE_QUEUE", ["0", "1048577", "none"], "1"),
        ("NORIA_COMPUTE_WHEN_FULL", ["wait", "REFUSE"], "refuse"),
        ("NORIA_COMPUTE_IDLE_TIMEOUT", ["0s", "999us", "86401s"], "1ms"),
        ("NORIA_WORKERS", ["0", "1025", "all"], "1024"),
        ("NORIA_WORKER_EXECUTABLE", ["worker", "./worker"], "/proc/self/exe"),
        ("NORIA_WORKER_HELLO_TIMEOUT", ["0s", "3601s", "10"], "1ms"),
        ("NORIA_WORKER_MEMORY_LIMIT", ["0", "268435455", "1GiB"], "268435456"),
        ("NORIA_WORKER_FRAME_LIMIT", ["1023", "1073741825"], "1024"),
        ("NORIA_WORKER_QUEUE_LIMIT", ["0", "1048577", "none"], "1"),
        ("NORIA_WORKER_STANDARD_ERROR", ["yes", "1"], "off"),
        ("NORIA_WORKER_CANCELLATION", ["kill", "KILLWORKER"], "killWorker"),
        ("NORIA_DEBUG", ["yes", "2"], "on"),
        ("NORIA_SLOW_JOB_THRESHOLD", ["0s", "3601s", "100"], "1ms"),
        ("NORIA_METRICS_INTERVAL", ["0s", "99ms", "never"], "none"),
        ("NORIA_TRACKS_TASKS", ["yes", "1"], "off"),
        ("NORIA_PUBLISHES_SNAPSHOT", ["yes", "1"], "off"),
        ("NORIA_STALL_THRESHOLD", ["0s", "999us", "3601s"], "1ms"),
        ("NORIA_STALL_REPORT_THRESHOLD", ["0s", "999us", "3601s"], "3600s"),
        ("NORIA_STALL_REPORTS_PER_MINUTE", ["-1", "1001"], "0"),
        ("NORIA_STALL_STACKS", ["yes", "ON"], "off"),
    ]

    @Test("Every knob has a place, a variable of its own, and a default that it takes itself")
    func table() {
        #expect(Set(Knob.all.map(\.name)).count == Knob.all.count)
        #expect(Set(Knob.all.map(\.variable)).count == Knob.all.count)
        #expect(Set(Self.values.map(\.variable)) == Set(Knob.all.map(\.variable)))
        for knob in Knob.all {
            #expect(knob.variable.hasPrefix("NORIA_"))
            #expect(knob.isAllowed(plain), "\(knob.name)")
            var copy = plain
            #expect(knob.parse(knob.read(plain), &copy), "\(knob.name)=\(knob.read(plain))")
            #expect(knob.read(copy) == knob.read(plain))
        }
    }

    @Test("A value out of its range is named with its variable, its source and the range")
    func outOfRange() throws {
        for (variable, bad, _) in Self.values {
            let knob = try #require(Knob.all.first { $0.variable == variable })
            for value in bad {
                let error = #expect(throws: RuntimeError.self) {
                    try plain.withEnvironment([variable: value])
                }
                let text = "\(error.map { "\($0)" } ?? "")"
                let place = "\(variable)=\(value) in the environment"
                for part in ["configuration: ", place, knob.name, knob.range] {
                    // A limit that another knob overtakes is that knob's error.
                    let isOther = text.contains("not above \(knob.name)")
                    #expect(text.contains(part) || isOther, "'\(text)' lacks '\(part)'")
                }
            }
        }
    }

    @Test("A value at the edge of its range is taken, and shown as it was written")
    func atTheEdge() throws {
        for (variable, _, good) in Self.values {
            let configuration = try plain.withEnvironment([variable: good])
            let report = try #require(configuration.knobs([:]).first { $0.variable == variable })
            #expect(report.value == good)
            #expect(report.source == .environment)
            #expect(report.problem == nil)
        }
    }

    @Test("What code sets out of range is named as the code's")
    func outOfRangeInCode() {
        let changed = plain.with {
            $0.loops.jobsPerTurn = 0
            $0.shutdown.deadline = .seconds(-1)
            $0.shutdown.signals = [Signal(rawValue: 9)]
        }
        let error = #expect(throws: RuntimeError.self) { try changed.withEnvironment([:]) }
        let text = "\(error.map { "\($0)" } ?? "")"
        for part in [
            "loops.jobsPerTurn = 0 in the code is not allowed; it may be 1 to 1000000 jobs",
            "shutdown.deadline = -1s in the code", "shutdown.signals = SIGKILL in the code",
        ] {
            #expect(text.contains(part), "\(text)")
        }
        // Without the environment the ranges still hold.
        let deaf = changed.with { $0.readsEnvironment = false }
        #expect(throws: RuntimeError.self) { try deaf.withEnvironment([:]) }
    }

    @Test("Marks stay in order, whoever has set them")
    func marks() throws {
        let high = plain.with { $0.network.limits.highMarkByteCount = 1000 }
        let error = #expect(throws: RuntimeError.self) { try high.withEnvironment([:]) }
        let text = "\(error.map { "\($0)" } ?? "")"
        #expect(text.contains("lowMarkByteCount = 16384, the default, is not allowed"), "\(text)")
        #expect(text.contains("not above network.limits.highMarkByteCount"))
        let both = try high.withEnvironment(["NORIA_STREAM_LOW_MARK": "1000"])
        #expect(both.network.limits.lowMarkByteCount == 1000)
    }

    @Test("The source of a value is the last who set it")
    func sources() throws {
        let code = plain.with { $0.loops.jobsPerTurn = 7 }
        func source(_ configuration: RuntimeConfiguration, _ environment: [String: String])
            -> KnobReport.Source?
        {
            configuration.knobs(environment).first { $0.name == "loops.jobsPerTurn" }?.source
        }
        #expect(source(plain, [:]) == .default)
        #expect(source(code, [:]) == .code)
        #expect(source(code, ["NORIA_JOBS_PER_TURN": "9"]) == .environment)
        // Even when it says what stood there anyway.
        #expect(source(plain, ["NORIA_JOBS_PER_TURN": "61"]) == .environment)
        #expect(source(code, ["NORIA_JOBS_PER_TURN": ""]) == .code)
        let deaf = code.with { $0.readsEnvironment = false }
        #expect(source(deaf, ["NORIA_JOBS_PER_TURN": "9"]) == .code)
        #expect(try deaf.withEnvironment(["NORIA_JOBS_PER_TURN": "x"]).loops.jobsPerTurn == 7)
    }

    @Test("A value that can't be read is shown with what is wrong, and the others as they are")
    func unreadable() {
        let reports = plain.knobs(["NORIA_LOOPS": "many", "NORIA_SOCKET_BACKLOG": "5"])
        let loops = reports.first { $0.variable == "NORIA_LOOPS" }
        #expect(loops?.value == "many")
        #expect(loops?.source == .environment)
        #expect(loops?.problem?.contains("NORIA_LOOPS=many in the environment") == true)
        #expect(reports.filter { $0.problem != nil }.count == 1)
        #expect(reports.first { $0.variable == "NORIA_SOCKET_BACKLOG" }?.value == "5")
    }

    @Test("Development differs from production where it says so")
    func development() {
        let changed = RuntimeConfiguration.development.knobs([:]).filter { $0.source != .default }
        #expect(
            changed.map(\.name) == ["shutdown.deadline", "logger.logLevel", "diagnostics.debug"]
        )
        #expect(changed.map(\.value) == ["5s", "debug", "on"])
        #expect(RuntimeConfiguration.production.knobs([:]).allSatisfy { $0.source == .default })
    }

    @Test("Variables that no knob knows come with the nearest that one does")
    func unknown() {
        let unknown = RuntimeConfiguration.unknownVariables(in: [
            "NORIA_BAKCEND": "epoll", "NORIA_BACKEND": "epoll", "NORIA_LOOP": "2",
            "NORIA_JOBSPERTURN": "1",
        ])
        #expect(unknown.map(\.name) == ["NORIA_BAKCEND", "NORIA_JOBSPERTURN", "NORIA_LOOP"])
        #expect(unknown.map(\.nearest) == ["NORIA_BACKEND", "NORIA_JOBS_PER_TURN", "NORIA_LOOPS"])
    }

    @Test(
        "The distance of two words is the least number of changed letters",
        arguments: [
            ("", "", 0), ("", "abc", 3), ("abc", "", 3), ("abc", "abc", 0), ("abc", "abd", 1),
            ("abc", "xabc", 1), ("abc", "bc", 1), ("kitten", "sitting", 3), ("ab", "ba", 2),
        ]
    )
    func distance(one: String, other: String, expected: Int) {
        #expect(one.distance(to: other) == expected)
    }

    @Test(
        "A time is written in the largest unit that leaves nothing over",
        arguments: [
            (.seconds(25), "25s"), (.seconds(120), "120s"), (.milliseconds(1500), "1500ms"),
            (.microseconds(7), "7us"), (.nanoseconds(1), "1ns"), (.zero, "0s"),
            (.milliseconds(10) + .microseconds(1), "10001us"),
        ] as [(Duration, String)]
    )
    func times(duration: Duration, text: String) {
        #expect(duration.text == text)
        #expect(Duration(text: text) == duration)
    }

    @Test("Where the code has decided about the debug mode the environment is not read")
    func debugMode() throws {
        let environment = ["NORIA_DEBUG": "1"]
        let off = plain.with { $0.diagnostics.debug = .off }
        #expect(try plain.withEnvironment(environment).diagnostics.debug == .on)
        #expect(try plain.withEnvironment(["NORIA_DEBUG": "0"]).diagnostics.debug == .off)
        #expect(try off.withEnvironment(environment).diagnostics.debug == .off)
        #expect(try off.withEnvironment(["NORIA_DEBUG": "2"]).diagnostics.debug == .off)
        let on = try RuntimeConfiguration.development.withEnvironment(["NORIA_DEBUG": "0"])
        #expect(on.diagnostics.debug == .on)
    }

    @Test("The check says whether the debug mode is on, and who has decided that")
    func debugCheck() throws {
        let check = { (configuration: RuntimeConfiguration) in
            ProductionCheck.debug(try configuration.withEnvironment(["NORIA_DEBUG": "1"]))
        }
        #expect(ProductionCheck.debug(plain).finding == "off")
        #expect(try check(plain.with { $0.diagnostics.debug = .off }).finding == "off, by the code")
        let environment = try check(plain)
        #expect(environment.finding == "on, by NORIA_DEBUG")
        #expect(environment.advice?.contains("unset NORIA_DEBUG") == true)
        let code = try check(.development)
        #expect(code.finding == "on, by the code")
        #expect(code.advice?.contains("start from '.production'") == true)
    }

    @Test("What slows a service down is a warning, unless it was chosen for the desk")
    func startLevel() throws {
        let slow = [ProductionCheck.optimisation(isDebugBuild: true)]
        #expect(Runtime.level([.debug(plain)], plain) == .info)
        #expect(Runtime.level(slow, plain) == .warning)
        #expect(Runtime.level(slow, .development) == .notice)
        let leftOn = plain.with { $0.diagnostics.debug = .on }
        #expect(Runtime.level([.debug(leftOn)], leftOn) == .warning)
        let debugging = try plain.withEnvironment(["NORIA_DEBUG": "1"])
        #expect(Runtime.level([.debug(debugging)], debugging) == .warning)
    }
}
