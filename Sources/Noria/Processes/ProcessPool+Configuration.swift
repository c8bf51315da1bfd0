// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
public import SystemPackage

extension ProcessPool {
    /// How many workers there are, what they run, and what they may take.
    public struct Configuration: Sendable {
        /// Worker processes, at most: the processors that this process may use, by default.
        ///
        /// They are started as calls come, and stay. `NORIA_WORKERS`.
        public var workerCount = Self.processorCount
        /// The program of the workers; nil, the default, for this one.
        ///
        /// This one is started again with the same arguments, and becomes a worker where it reaches
        /// `Runtime.main`, `Runtime.run`, `withRuntime` or `ProcessPool.runWorkerIfNeeded`. Another
        /// gets no arguments; it must reach one of these, and have the calls' types.
        public var executable: FilePath?
        /// How long a worker may take from its start until it waits for calls: 10 s.
        ///
        /// `NORIA_WORKER_HELLO_TIMEOUT`.
        public var helloTimeout = Duration.seconds(10)
        /// The private writable memory of a worker, in bytes; nil, the default, sets no limit.
        ///
        /// It counts what may be written and is nobody else's, used or not (`RLIMIT_DATA`): heap, and 8
        /// MiB for each thread's stack. A worker has 140 MiB of it before its first call, of which 17
        /// are in memory; 256 MiB is the least that is taken. A worker that is refused memory ends, and its call throws
        /// `.outOfMemory`. `NORIA_WORKER_MEMORY_LIMIT`.
        public var memoryByteCountLimit: Int?
        /// The coding of a call or of a result, in bytes, at most: 16 MiB.
        ///
        /// `NORIA_WORKER_FRAME_LIMIT`.
        public var frameByteCountLimit = 16_777_216
        /// The calls that wait for a worker, at most: 16,384; one more throws `.queueFull`.
        ///
        /// `NORIA_WORKER_QUEUE_LIMIT`.
        public var queueLimit = 16_384
        /// Whether what workers write to standard output and error goes on to this process's standard
        /// error, as it does by default.
        ///
        /// What that does not take at once, as a pipe that nobody reads, is dropped. The end of it is
        /// in the errors of calls all the same. `NORIA_WORKER_STANDARD_ERROR`: `on` or `off`.
        public var passesOnStandardError = true
        /// What becomes of a worker whose call is cancelled.
        ///
        /// `NORIA_WORKER_CANCELLATION`.
        public var whenCancelled = Cancellation.letFinish

        /// The defaults.
        public init() {}

        /// Asked for once: it reads a few files.
        private static let processorCount = Processors.available.count
    }

    /// What becomes of a worker whose call is cancelled while it runs.
    ///
    /// In both cases the call throws `CancellationError` at once, and one that still waited for a
    /// worker never reaches one.
    @nonexhaustive
    public enum Cancellation: String, Sendable, Hashable, CaseIterable {
        /// It finishes the call, whose result is dropped, and takes the next.
        case letFinish
        /// It is ended by SIGKILL, and replaced.
        case killWorker
    }
}
