// SPDX-License-Identifier: Apache-2.0
internal import Logging

extension Knob {
    /// Every knob there is, in the order in which they are shown.
    static let all: [Knob] =
        runtime + loops + sockets + streams
        + pool("blocking", "NORIA_BLOCKING", \.blocking)
        + pool("compute", "NORIA_COMPUTE", \.compute)
        + workers + diagnostics

    private static let runtime = [
        Knob(
            "backend",
            "NORIA_BACKEND",
            \.backend,
            .backend,
            "Which kernel interface the loops use."
        ),
        Knob(
            "shutdown.deadline",
            "NORIA_SHUTDOWN_DEADLINE",
            \.shutdown.deadline,
            .time(.milliseconds(10)...(.seconds(86_400))),
            "From the request of a shutdown to the end of the process, at most."
        ),
        Knob(
            "shutdown.signals",
            "NORIA_SHUTDOWN_SIGNALS",
            \.shutdown.signals,
            .signals,
            "The signals that begin a shutdown."
        ),
        Knob(
            "logger.logLevel",
            "NORIA_LOG_LEVEL",
            \.logger.logLevel,
            .logLevel,
            "The least level of what the runtime logs."
        ),
    ]

    private static let loops = [
        Knob(
            "loops.count",
            "NORIA_LOOPS",
            \.loops.count,
            .count(1...RuntimeConfiguration.Loops.countLimit, "loops"),
            "The event loops, a thread each."
        ),
        Knob(
            "loops.jobsPerTurn",
            "NORIA_JOBS_PER_TURN",
            \.loops.jobsPerTurn,
            .count(1...1_000_000, "jobs"),
            "Jobs that a turn runs before it looks at the kernel."
        ),
        Knob(
            "loops.timePerTurn",
            "NORIA_TIME_PER_TURN",
            \.loops.timePerTurn,
            .time(.microseconds(1)...(.seconds(10))),
            "The same as a time, looked at after every 16th job."
        ),
        Knob(
            "loops.completionsPerTurn",
            "NORIA_COMPLETIONS_PER_TURN",
            \.loops.completionsPerTurn,
            .count(1...65_536, "completions"),
            "Completions that a turn delivers."
        ),
    ]

    private static let sockets = [
        Knob(
            "network.socket.noDelay",
            "NORIA_SOCKET_NO_DELAY",
            \.network.socket.noDelay,
            .flag,
            "Sends small writes at once (TCP_NODELAY)."
        ),
        Knob(
            "network.socket.keepAlive",
            "NORIA_SOCKET_KEEP_ALIVE",
            \.network.socket.keepAlive,
            .optional(.flag, "system"),
            "Probes an idle peer (SO_KEEPALIVE)."
        ),
        Knob(
            "network.socket.receiveBufferByteCount",
            "NORIA_SOCKET_RECEIVE_BUFFER",
            \.network.socket.receiveBufferByteCount,
            .optional(.count(1024...maximumByteCount, "bytes"), "system"),
            "The kernel's receive buffer of a socket (SO_RCVBUF)."
        ),
        Knob(
            "network.socket.sendBufferByteCount",
            "NORIA_SOCKET_SEND_BUFFER",
            \.network.socket.sendBufferByteCount,
            .optional(.count(1024...maximumByteCount, "bytes"), "system"),
            "The kernel's send buffer of a socket (SO_SNDBUF)."
        ),
        Knob(
            "network.socket.reusesAddress",
            "NORIA_SOCKET_REUSE_ADDRESS",
            \.network.socket.reusesAddress,
            .flag,
            "Binds although an old connection of the port is in TIME_WAIT (SO_REUSEADDR)."
        ),
        Knob(
            "network.socket.isIPv6Only",
            "NORIA_SOCKET_IPV6_ONLY",
            \.network.socket.isIPv6Only,
            .flag,
            "An IPv6 listener takes no IPv4 (IPV6_V6ONLY)."
        ),
        Knob(
            "network.socket.backlog",
            "NORIA_SOCKET_BACKLOG",
            \.network.socket.backlog,
            .count(0...1_048_576, "connections"),
            "Connections that the kernel queues for a listener; it cuts to somaxconn."
        ),
    ]

    private static func pool(
        _ name: String,
        _ variable: String,
        _ path: any WritableKeyPath<RuntimeConfiguration, ThreadPool.Configuration> & Sendable
    ) -> [Knob] {
        [
            Knob(
                "\(name).threadLimit",
                "\(variable)_THREADS",
                path,
                \.threadLimit,
                .count(1...threadCountLimit, "threads"),
                "Threads of the pool at most, to begin with."
            ).notAbove("\(name).maximumThreadLimit") {
                $0[keyPath: path].threadLimit <= $0[keyPath: path].maximumThreadLimit
            },
            Knob(
                "\(name).maximumThreadLimit",
                "\(variable)_MAXIMUM_THREADS",
                path,
                \.maximumThreadLimit,
                .count(1...threadCountLimit, "threads"),
                "What the limit may grow to while jobs wait for more than 50 ms."
            ),
            Knob(
                "\(name).queueLimit",
                "\(variable)_QUEUE",
                path,
                \.queueLimit,
                .count(1...1_048_576, "calls"),
                "Calls that wait for a thread at most."
            ),
            Knob(
                "\(name).whenFull",
                "\(variable)_WHEN_FULL",
                path,
                \.whenFull,
                .choice,
                "Whether one call more waits, or throws."
            ),
            Knob(
                "\(name).idleTimeout",
                "\(variable)_IDLE_TIMEOUT",
                path,
                \.idleTimeout,
                .time(.milliseconds(1)...(.seconds(86_400))),
                "How long a thread has nothing to do before it leaves."
            ),
        ]
    }

    private static let threadCountLimit = 1024

    private static let streams = [
        Knob(
            "network.limits.highMarkByteCount",
            "NORIA_STREAM_HIGH_MARK",
            \.network.limits.highMarkByteCount,
            .count(1...maximumByteCount, "bytes"),
            "Bytes unsent above which a write waits."
        ).notAbove("network.limits.outboundByteCountLimit") {
            $0.network.limits.highMarkByteCount <= $0.network.limits.outboundByteCountLimit
        },
        Knob(
            "network.limits.lowMarkByteCount",
            "NORIA_STREAM_LOW_MARK",
            \.network.limits.lowMarkByteCount,
            .count(0...maximumByteCount, "bytes"),
            "Bytes unsent at which a waiting write goes on."
        ).notAbove("network.limits.highMarkByteCount") {
            $0.network.limits.lowMarkByteCount <= $0.network.limits.highMarkByteCount
        },
        Knob(
            "network.limits.outboundByteCountLimit",
            "NORIA_STREAM_OUTBOUND_LIMIT",
            \.network.limits.outboundByteCountLimit,
            .count(1...maximumByteCount, "bytes"),
            "Bytes unsent above which an enqueue fails."
        ),
        Knob(
            "network.limits.idleTimeout",
            "NORIA_STREAM_IDLE_TIMEOUT",
            \.network.limits.idleTimeout,
            timeout,
            "How long no byte may come or go."
        ),
        Knob(
            "network.limits.readTimeout",
            "NORIA_STREAM_READ_TIMEOUT",
            \.network.limits.readTimeout,
            timeout,
            "How long a begun line, frame or exact count may take to be whole."
        ),
        Knob(
            "network.limits.writeTimeout",
            "NORIA_STREAM_WRITE_TIMEOUT",
            \.network.limits.writeTimeout,
            timeout,
            "How long the peer may take no byte while a writer is held back."
        ),
        Knob(
            "network.limits.connectionLimit",
            "NORIA_STREAM_CONNECTION_LIMIT",
            \.network.limits.connectionLimit,
            .optional(.count(1...1_048_576, "connections"), "none"),
            "Connections that a listener has at one time; more wait in its queue."
        ),
        Knob(
            "network.limits.lingerTimeout",
            "NORIA_STREAM_LINGER_TIMEOUT",
            \.network.limits.lingerTimeout,
            .time(.zero...(.seconds(3600))),
            "How long a close waits for the peer's end."
        ),
        Knob(
            "network.limits.proxyHeaderTimeout",
            "NORIA_STREAM_PROXY_HEADER_TIMEOUT",
            \.network.limits.proxyHeaderTimeout,
            .time(.milliseconds(1)...(.seconds(3600))),
            "How long a PROXY header may take to come, where one is required."
        ),
    ]

    private static let timeout = KnobForm<Duration?>.optional(
        .time(.milliseconds(1)...(.seconds(86_400))),
        "none"
    )

    /// 1 GiB: what the kernel takes in an `Int32`, with its own doubling.
    private static let maximumByteCount = 1 << 30
}

extension KnobForm where Value == BackendPolicy {
    static var backend: Self {
        Self(unit: "policy", range: "automatic, io_uring, epoll or poll") {
            "\($0)"
        } value: {
            BackendPolicy(argument: $0)
        } allows: { _ in
            true
        }
    }
}

extension KnobForm where Value == Logger.Level {
    static var logLevel: Self {
        let levels = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
        return Self(unit: "level", range: "one of \(levels)") {
            $0.rawValue
        } value: {
            Logger.Level(rawValue: $0)
        } allows: { _ in
            true
        }
    }
}

extension KnobForm where Value == Set<Signal> {
    static var signals: Self {
        let names = Signal.named.map { "\($0)" }.joined(separator: ", ")
        return Self(unit: "signals", range: "none, or of \(names), with commas between") {
            signals in
            guard !signals.isEmpty else { return "none" }
            return signals.sorted { $0.rawValue < $1.rawValue }.map { "\($0)" }
                .joined(separator: ",")
        } value: { text in
            guard text != "none" else { return [] }
            let words = text.split(separator: ",", omittingEmptySubsequences: false)
            let signals = words.compactMap { word in Signal.named.first { "\($0)" == word } }
            return signals.count == words.count ? Set(signals) : nil
        } allows: { signals in
            signals.allSatisfy(\.canBeCaught)
        }
    }
}
