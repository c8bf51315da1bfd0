// SPDX-License-Identifier: Apache-2.0
public import Logging
public import NoriaEngine

/// Every knob of a runtime, each with its unit and default.
///
/// Variables of the environment (`NORIA_BACKEND`, …) override the code, so that an operator can
/// change a service without building it, unless `readsEnvironment` is false. `noria doctor
/// --config` lists every knob with its variable, unit, default and range. A value out of its range
/// keeps a runtime from starting: `RuntimeError.Kind.configuration` names each.
public struct RuntimeConfiguration: Sendable {
    /// Which kernel interface the loops use.
    ///
    /// `NORIA_BACKEND`: `automatic`, `io_uring`, `epoll` or `poll`.
    public var backend = BackendPolicy.automatic
    /// How much one turn of a loop does.
    public var loops = Loops()
    /// What sockets and streams are made with.
    public var network = Network()
    /// The pool for calls that block.
    public var blocking = ThreadPool.Configuration.blocking
    /// The pool for calls that compute.
    public var compute = ThreadPool.Configuration.compute
    /// The worker processes.
    public var processes = ProcessPool.Configuration()
    /// How the end goes.
    public var shutdown = ShutdownPolicy()
    /// What the runtime watches in itself.
    public var diagnostics = Diagnostics()
    /// Where the runtime logs to; `NORIA_LOG_LEVEL` overrides its level.
    public var logger: Logger
    /// Whether `NORIA_*` variables override the values here, as they do by default.
    public var readsEnvironment = true

    /// The names of the knobs that the environment does not override, since somebody typed their
    /// values for this one start.
    package var typedKnobs: Set<String> = []
    /// It began as `.development`: what slows a service down was chosen.
    private(set) var isForDesk = false
    /// The names of the knobs whose values are the environment's.
    var environmentKnobs: Set<String> = []

    init() { logger = Logger(label: "noria") }

    /// For services: quiet and bounded; every knob has its default.
    public static var production: Self { Self() }

    /// For the desk: the debug mode, logs from `debug` on, and a shutdown has 5 s, not 25.
    public static var development: Self {
        production.with {
            $0.logger.logLevel = .debug
            $0.diagnostics.debug = .on
            $0.isForDesk = true
            $0.shutdown.deadline = .seconds(5)
        }
    }

    /// A copy with changes: `.production.with { $0.backend = .require(.epoll) }`.
    public func with(_ change: (inout Self) -> Void) -> Self {
        var copy = self
        change(&copy)
        return copy
    }

    /// How many loops there are, and the budgets of a turn: a job, and I/O, waits for at most one
    /// of them.
    public struct Loops: Sendable {
        /// Loops, each with its thread; the first is the main thread's: 1, at most 1,024.
        public var count = 1
        /// The most loops that a runtime has.
        public static let countLimit = 1024
        /// Jobs before the kernel is looked at: 61, the number of tokio and Go.
        public var jobsPerTurn = 61
        /// Time before the kernel is looked at: 1 ms, read at every 16th job.
        public var timePerTurn = Duration.milliseconds(1)
        /// Completions that one turn delivers: 256.
        public var completionsPerTurn = 256
    }

    /// The defaults of listeners and connections that say nothing else.
    public struct Network: Sendable {
        /// The options of sockets.
        public var socket = SocketOptions()
        /// The limits of streams.
        public var limits = StreamLimits()
    }
}

/// Which backend a runtime takes, and what it does when it can't have it.
public struct BackendPolicy: Sendable, Hashable, CustomStringConvertible {
    let candidates: [BackendKind]
    /// Nothing else will do: without it the runtime does not start.
    let isRequired: Bool

    private static let order: [BackendKind] = [.ioUring, .epoll, .poll]

    /// The first of io_uring, epoll and poll that works here.
    public static var automatic: Self { Self(candidates: order, isRequired: false) }

    /// This one if it works here, else as `automatic`.
    public static func prefer(_ kind: BackendKind) -> Self {
        Self(candidates: [kind] + order.filter { $0 != kind }, isRequired: false)
    }

    /// This one, or the runtime does not start: `RuntimeError.Kind.backendUnavailable`.
    public static func require(_ kind: BackendKind) -> Self {
        Self(candidates: [kind], isRequired: true)
    }

    /// The same policy, without some backends.
    public func excluding(_ kinds: BackendKind...) -> Self {
        Self(candidates: candidates.filter { !kinds.contains($0) }, isRequired: isRequired)
    }

    /// Reads `automatic`, `io_uring`, `epoll` or `poll` (each of the last three is a requirement).
    public init?(argument: String) {
        if argument == "automatic" {
            self = .automatic
        } else if let kind = BackendKind(rawValue: argument), kind != .simulated {
            self = .require(kind)
        } else {
            return nil
        }
    }

    /// `automatic`, `epoll` for a requirement, or the candidates in their order.
    public var description: String {
        if self == .automatic { return "automatic" }
        if candidates.isEmpty { return "none" }
        return candidates.map(\.description).joined(separator: ", then ")
    }

    private init(candidates: [BackendKind], isRequired: Bool) {
        self.candidates = candidates
        self.isRequired = isRequired
    }
}

/// Which backend runs, and why not another.
public struct BackendReport: Codable, Sendable, CustomStringConvertible {
    /// A candidate that was tried before, and what it said.
    public struct Refusal: Codable, Sendable {
        /// The candidate.
        public let kind: BackendKind
        /// Why it can't be had, in words.
        public let reason: String
    }

    /// The backend that runs.
    public let kind: BackendKind
    /// Those that were tried before it.
    public let refusals: [Refusal]
    /// What it uses of the kernel.
    public let features: [String]

    /// The backend, and behind it why the others were refused.
    public var description: String {
        guard !refusals.isEmpty else { return kind.description }
        let reasons = refusals.map { "\($0.kind): \($0.reason)" }.joined(separator: "; ")
        return "\(kind) (\(reasons))"
    }
}
