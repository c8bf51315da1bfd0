// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// What a blocking call does to a loop, and what one line changes: `BlockingCalls [FOLDER]`.
///
/// A timer of 1 ms tells how late the loop is while a walk over a folder's metadata and a
/// synchronous exchange with a slow server (here: a `sleep` of 100 ms) are made, first on the loop,
/// then off it.
@main
struct BlockingCalls {
    static func main() {
        let folder = CommandLine.arguments.dropFirst().first ?? "/usr/share"
        Runtime.main { runtime in
            let onLoop = try await lateness(runtime) {
                _ = walk(folder)
                _ = exchange()
            }
            print("on the loop:  a timer is up to \(onLoop) late")
            let offLoop = try await lateness(runtime) {
                _ = try await runtime.blocking.run(name: "walk") { walk(folder) }
                _ = try await runtime.blocking.run(name: "exchange", timeout: .seconds(5)) {
                    exchange()
                }
            }
            print("off the loop: a timer is up to \(offLoop) late")
            let pool = runtime.snapshot().blocking
            print("\(pool.threadCount) threads, the longest call took \(pool.run.max) s")
        }
    }

    /// How many files there are, asked by calls that wait for the disk.
    static func walk(_ folder: String) -> Int {
        var status = stat()
        guard lstat(folder, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { return 1 }
        guard let entries = opendir(folder) else { return 0 }
        defer { closedir(entries) }
        var count = 0
        while let entry = readdir(entries), count < 20_000 {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { count += walk("\(folder)/\(name)") }
        }
        return count
    }

    /// What a library without `async` does while a server takes its time.
    static func exchange() -> Int32 { usleep(100_000) }

    /// The most that a timer of 1 ms came too late while `body` ran.
    static func lateness(
        _ runtime: Runtime,
        _ body: () async throws -> Void
    ) async throws -> Duration {
        let watch = Task {
            var latest = Duration.zero
            while !Task.isCancelled {
                let due = ContinuousClock.now + .milliseconds(1)
                try? await Task.sleep(until: due, clock: .continuous)
                latest = max(latest, due.duration(to: .now))
            }
            return latest
        }
        // It must be waiting before the loop is kept from it.
        try await Task.sleep(for: .milliseconds(5))
        try await body()
        watch.cancel()
        return await watch.value
    }
}
