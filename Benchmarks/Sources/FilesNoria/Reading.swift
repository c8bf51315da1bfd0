// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// Reads, or writes, of 4 KiB at changing positions.
struct Reading {
    let file: File
    let fd: Int32
    let way: String

    static let byteCount = 4096

    func run(_ count: Int, _ taskCount: Int, _ runtime: Runtime) async throws -> Measurement {
        // Warm: threads, caches, the allocator.
        _ = try await read(count / 10 + 1, runtime)
        var measurement = Measurement()
        let (begin, processor) = (now(), now(CLOCK_PROCESS_CPUTIME_ID))
        if taskCount == 1 {
            measurement.latencies = try await read(count, runtime)
        } else {
            try await withThrowingTaskGroup(of: [UInt64].self) { group in
                for _ in 0..<taskCount {
                    group.addTask { try await read(count / taskCount, runtime) }
                }
                for try await latencies in group { measurement.latencies += latencies }
            }
        }
        measurement.processorNanoseconds = now(CLOCK_PROCESS_CPUTIME_ID) - processor
        measurement.nanoseconds = now() - begin
        return measurement
    }

    private func read(_ count: Int, _ runtime: Runtime) async throws -> [UInt64] {
        var latencies: [UInt64] = []
        latencies.reserveCapacity(count)
        let written = [UInt8](repeating: 7, count: Self.byteCount)
        for index in 0..<count {
            let offset = index % (Sending.byteCount / Self.byteCount) * Self.byteCount
            let begin = now()
            var bytes = written
            switch way {
            case "read-file": bytes = try await file.read(at: offset, count: Self.byteCount)
            case "read-pool": bytes = try await runtime.read(fd, at: offset, count: Self.byteCount)
            case "write-file": try await file.write(bytes, at: offset)
            default: try await runtime.write(fd, bytes, at: offset)
            }
            latencies.append(now() - begin)
            guard bytes.count == Self.byteCount, bytes[0] == 7 else { fail("a wrong read") }
        }
        return latencies
    }
}
