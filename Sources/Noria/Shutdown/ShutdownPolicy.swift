// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaSystem
public import SystemPackage

/// How long the end of a runtime may take, and what begins it.
public struct ShutdownPolicy: Sendable, Hashable {
    /// From the request to the end of the process, at most: 25 s, under Kubernetes' 30.
    ///
    /// An embedded runtime ends no process: it logs what has not ended by then.
    public var deadline = Duration.seconds(25)
    /// From the request to the drain, in which everything goes on: 0.
    ///
    /// A load balancer may still send what it has on its way. It is part of the deadline's time, and
    /// half of it at most.
    public var grace = Duration.zero
    /// Where the report of the end is written to as JSON; nil for nowhere.
    ///
    /// It is written when what has not ended is abandoned, too.
    public var reportPath: FilePath?
    /// The signals that begin it; none does in an embedded runtime.
    public var signals: Set<Signal> = [.terminate, .interrupt]

    /// The defaults.
    public init() {}

    /// For Kubernetes: 5 s of grace, while its endpoints learn that the pod goes, and a deadline under
    /// its 30 s.
    public static var kubernetes: Self {
        var policy = Self()
        policy.grace = .seconds(5)
        return policy
    }

    /// How long streams may drain: all but the last 3 s, or 70 % of what a short deadline leaves.
    var drainBudget: Duration { isShort ? timeBeforeLastWords * 0.7 : deadline - .seconds(3) }
    /// When cancelled tasks are given up: 1 s before the end, or at 90 %.
    var cancelBudget: Duration { isShort ? timeBeforeLastWords * 0.9 : deadline - .seconds(1) }

    private var isShort: Bool { deadline < .seconds(12) }

    /// The last 250 ms, a quarter of a deadline under a second, are for the report of what is left.
    var timeBeforeLastWords: Duration {
        deadline < .seconds(1) ? deadline * 0.75 : deadline - .milliseconds(250)
    }

    /// How long the body may go on when all streams have drained: 2 s, at most a tenth.
    var settleTime: Duration { min(.seconds(2), deadline * 0.1) }

    /// From the cancelling of the body to that of the tasks which nobody holds: one of those may be
    /// there to end what the body had in hand, as a library does that ends a child process.
    var lateCancelDelay: Duration { min(.seconds(3), deadline * 0.1) }
}

/// A POSIX signal.
public struct Signal: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    /// The number, as in `signal(7)`.
    public let rawValue: Int32
    /// Any signal, by its number.
    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// SIGHUP, 1.
    public static let hangup = Signal(rawValue: 1)
    /// SIGINT, 2: Ctrl-C.
    public static let interrupt = Signal(rawValue: 2)
    /// SIGQUIT, 3.
    public static let quit = Signal(rawValue: 3)
    /// SIGUSR1, 10.
    public static let user1 = Signal(rawValue: 10)
    /// SIGUSR2, 12.
    public static let user2 = Signal(rawValue: 12)
    /// SIGTERM, 15: what a service manager sends.
    public static let terminate = Signal(rawValue: 15)
    /// SIGWINCH, 28.
    public static let windowChange = Signal(rawValue: 28)
    static let brokenPipe = Signal(rawValue: 13)

    /// Those with a name here.
    static let named: [Signal] = [
        .hangup, .interrupt, .quit, .user1, .user2, .terminate, .windowChange,
    ]

    /// Whether a program may take it: not SIGKILL and SIGSTOP, which the kernel keeps, not the two
    /// that the C library keeps, not those of a fault, which would come again and again, and not
    /// SIGPIPE, which the runtime has ignored.
    var canBeCaught: Bool {
        (1...63).contains(rawValue)
            && ![4, 5, 6, 7, 8, 9, 11, 13, 19, 31, 32, 33].contains(rawValue)
    }

    /// `SIGTERM`, or `signal 35`.
    public var description: String {
        switch self {
        case .hangup: "SIGHUP"
        case .interrupt: "SIGINT"
        case .quit: "SIGQUIT"
        case .user1: "SIGUSR1"
        case .user2: "SIGUSR2"
        case .terminate: "SIGTERM"
        case .windowChange: "SIGWINCH"
        default: Child.name(ofSignal: rawValue)
        }
    }
}

/// What a process ends with.
public struct ExitCode: RawRepresentable, Codable, Hashable, Sendable {
    /// The number that the parent sees.
    public let rawValue: Int32
    /// Any code.
    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// 0: drained, or what was cancelled ended in time.
    public static let clean = ExitCode(rawValue: 0)
    /// 1: the body threw.
    public static let failure = ExitCode(rawValue: 1)
    /// 70: something did not end by the deadline, and was abandoned.
    public static let abandoned = ExitCode(rawValue: 70)
    /// 78: it never started: configuration or backend.
    public static let configuration = ExitCode(rawValue: 78)
    /// 128 + n: a second or third signal cut the end short.
    public static func signal(_ signal: Signal) -> ExitCode {
        ExitCode(rawValue: 128 + signal.rawValue)
    }
}

/// How a runtime ended.
public struct ShutdownReport: Codable, Sendable, CustomStringConvertible {
    /// What began it: a signal's name, a request's text, `the body returned`, `the body threw`.
    public let reason: String
    /// What the process ends with.
    public let exitCode: ExitCode
    /// What came in between, in order, and how long each took.
    public let phases: [PhaseReport]
    /// The names of what drained.
    public let drained: [String]
    /// The names of what was cancelled.
    public let cancelled: [String]
    /// The names of what had not ended at the deadline.
    public let abandoned: [String]
    /// What failed on the way: actions of `Runtime.onShutdown`.
    public let errors: [String]
    /// How many errors nobody awaited.
    public let uncaughtErrors: UncaughtErrorCounts

    /// A part of the end.
    public struct PhaseReport: Codable, Sendable, Hashable {
        /// Which.
        public let phase: Shutdown.Phase
        /// How long it took.
        public let seconds: Double
    }

    /// The report as JSON, with sorted keys.
    public func json() -> String {
        // Numbers, words and lists of them: none of it can fail to be written.
        (try? reportJSON()) ?? "{}"
    }

    func write(to path: FilePath?, _ logger: Logger?) {
        guard let path else { return }
        do throws(Errno) { try SystemFile.write(json() + "\n", to: path.string) } catch {
            logger?.error("shutdown: no report at \(path): \(error)")
        }
    }

    /// Whether everything ended by itself.
    public var isClean: Bool { exitCode == .clean && cancelled.isEmpty }

    /// One line for the log.
    public var description: String {
        let errors = uncaughtErrors == .none ? "" : ", \(uncaughtErrors)"
        return "\(reason): exit code \(exitCode.rawValue), \(drained.count) drained,"
            + " \(cancelled.count) cancelled\(errors)"
    }
}

/// Something that can end in order: a listener, a pool.
public protocol Drainable: Sendable {
    /// Lets what is in hand finish, and returns when it has. The deadline is told, not kept here.
    func drain(until deadline: ContinuousClock.Instant) async
    /// Ends now. Any thread.
    func abort()
}
