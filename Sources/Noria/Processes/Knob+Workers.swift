// SPDX-License-Identifier: Apache-2.0
internal import SystemPackage

extension Knob {
    /// The knobs of the worker processes.
    static let workers = [
        Knob(
            "processes.workerCount",
            "NORIA_WORKERS",
            \.processes.workerCount,
            .count(1...1024, "workers"),
            "Worker processes, at most."
        ),
        Knob(
            "processes.executable",
            "NORIA_WORKER_EXECUTABLE",
            \.processes.executable,
            .optional(.path, "self"),
            "The program of the workers."
        ),
        Knob(
            "processes.helloTimeout",
            "NORIA_WORKER_HELLO_TIMEOUT",
            \.processes.helloTimeout,
            .time(.milliseconds(1)...(.seconds(3600))),
            "How long a worker may take from its start until it waits for calls."
        ),
        Knob(
            "processes.memoryByteCountLimit",
            "NORIA_WORKER_MEMORY_LIMIT",
            \.processes.memoryByteCountLimit,
            .optional(.count(268_435_456...(1 << 50), "bytes"), "none"),
            "The private writable memory of a worker (RLIMIT_DATA)."
        ),
        Knob(
            "processes.frameByteCountLimit",
            "NORIA_WORKER_FRAME_LIMIT",
            \.processes.frameByteCountLimit,
            .count(1024...1_073_741_824, "bytes"),
            "The coding of a call or of a result, at most."
        ),
        Knob(
            "processes.queueLimit",
            "NORIA_WORKER_QUEUE_LIMIT",
            \.processes.queueLimit,
            .count(1...1_048_576, "calls"),
            "The calls that wait for a worker, at most."
        ),
        Knob(
            "processes.passesOnStandardError",
            "NORIA_WORKER_STANDARD_ERROR",
            \.processes.passesOnStandardError,
            .flag,
            "Whether what workers write goes on to this process's standard error."
        ),
        Knob(
            "processes.whenCancelled",
            "NORIA_WORKER_CANCELLATION",
            \.processes.whenCancelled,
            .choice,
            "What becomes of a worker whose call is cancelled."
        ),
    ]
}

extension KnobForm where Value == FilePath {
    static var path: Self {
        Self(unit: "path", range: "a path from the root, as /usr/bin/worker") {
            $0.string
        } value: {
            FilePath($0)
        } allows: {
            $0.isAbsolute
        }
    }
}
