// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem

/// What `NORIA_*` variables of the environment say: one line a knob.
extension RuntimeConfiguration {
    /// The configuration with the environment's values in it.
    func withEnvironment() throws(RuntimeError) -> Self {
        guard readsEnvironment else { return self }
        var copy = self
        try Self.read("NORIA_BACKEND", "automatic, io_uring, epoll or poll", &copy.backend) {
            BackendPolicy(argument: $0)
        }
        let count = "a whole number above 0"
        try Self.read("NORIA_LOOPS", count, &copy.loops.count, Self.positive)
        try Self.read("NORIA_JOBS_PER_TURN", count, &copy.loops.jobsPerTurn, Self.positive)
        try Self.read(
            "NORIA_COMPLETIONS_PER_TURN",
            count,
            &copy.loops.completionsPerTurn,
            Self.positive
        )
        let time = "a time with its unit, as 500ms or 25s"
        try Self.read("NORIA_TIME_PER_TURN", time, &copy.loops.timePerTurn, Duration.init(text:))
        try Self.read(
            "NORIA_SHUTDOWN_DEADLINE",
            time,
            &copy.shutdown.deadline,
            Duration.init(text:)
        )
        return copy
    }

    private static func read<Value>(
        _ name: String,
        _ form: String,
        _ value: inout Value,
        _ parse: (String) -> Value?
    ) throws(RuntimeError) {
        guard let text = Thread.environment(name), !text.isEmpty else { return }
        guard let parsed = parse(text) else {
            throw RuntimeError(.configuration("\(name)=\(text) is not \(form)"))
        }
        value = parsed
    }

    private static func positive(_ text: String) -> Int? {
        Int(text).flatMap { $0 > 0 ? $0 : nil }
    }
}

extension Duration {
    /// Reads `500us`, `20ms`, `25s`, `2m`: a whole number above 0 and its unit.
    init?(text: String) {
        let digits = text.prefix { $0.isNumber }
        guard let count = Int64(digits), count > 0, count <= 1_000_000_000 else { return nil }
        switch text.dropFirst(digits.count) {
        case "us": self = .microseconds(count)
        case "ms": self = .milliseconds(count)
        case "s": self = .seconds(count)
        case "m": self = .seconds(count * 60)
        default: return nil
        }
    }
}
