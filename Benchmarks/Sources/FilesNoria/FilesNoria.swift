// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// Reads or sends a file that lies in the kernel's memory, in one of several ways, and prints what
/// one read or one file took.
@main
enum FilesNoria {
    static let ways = [
        "read-file", "read-pool", "write-file", "write-pool", "send-file", "send-copy", "send-pool",
    ]

    static func main() {
        let words = CommandLine.arguments
        if words.count == 3, words[1] == "drain", let count = Int(words[2]) { Drain.run(count) }
        guard words.count == 4, ways.contains(words[1]), let count = Int(words[2]), count > 0,
            let taskCount = Int(words[3]), taskCount > 0
        else {
            print("usage: files-noria \(ways.joined(separator: "|")) COUNT TASKS")
            exit(64)
        }
        let path = "noria-files-\(getpid())"
        let fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        let bytes = [UInt8](repeating: 7, count: Sending.byteCount)
        guard fd >= 0, write(fd, bytes, bytes.count) == bytes.count else { fail("no file") }
        Runtime.main { runtime in
            let measurement = try await withFile(FilePath(path), .readWrite) { file in
                // The name alone is gone; so is the file when the program ends, however that is.
                unlink(path)
                return words[1].hasPrefix("send")
                    ? try await Sending(file: file, fd: fd, way: words[1]).run(count, runtime)
                    : try await Reading(file: file, fd: fd, way: words[1])
                        .run(count, taskCount, runtime)
            }
            print(measurement.json(backend: "\(runtime.backend.kind)"))
        }
    }
}

/// What a number of operations took.
struct Measurement {
    var latencies: [UInt64] = []
    var nanoseconds: UInt64 = 0
    var processorNanoseconds: UInt64 = 0

    func json(backend: String) -> String {
        let (sorted, count) = (latencies.sorted(), latencies.count)
        return """
            {"backend": "\(backend)", "cpu": \(processorNanoseconds / UInt64(count)), \
            "wall": \(nanoseconds / UInt64(count)), "p50": \(sorted[count / 2]), \
            "p99": \(sorted[min(count - 1, count * 99 / 100)])}
            """
    }
}

/// Nanoseconds of a clock.
func now(_ clock: clockid_t = CLOCK_MONOTONIC) -> UInt64 {
    var time = timespec()
    clock_gettime(clock, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

func fail(_ text: String) -> Never {
    perror("files-noria: \(text)")
    exit(1)
}

extension Runtime {
    /// One positional read on a thread of the pool: the way of whoever has nothing better.
    nonisolated(nonsending) func read(_ fd: Int32, at offset: Int, count: Int) async throws
        -> [UInt8]
    {
        try await blocking.run(name: "read") {
            [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
                filled = pread(fd, buffer.baseAddress, count, off_t(offset))
                if filled < 0 { fail("pread") }
            }
        }
    }

    /// The same for a write.
    nonisolated(nonsending) func write(_ fd: Int32, _ bytes: [UInt8], at offset: Int) async throws {
        try await blocking.run(name: "write") {
            guard pwrite(fd, bytes, bytes.count, off_t(offset)) == bytes.count else {
                fail("pwrite")
            }
        }
    }
}
