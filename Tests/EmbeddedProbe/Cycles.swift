// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// Fifty embedded runtimes, one after the other: what each leaves behind.
enum Cycles {
    static func run(loopCount: Int) async throws {
        // The first leaves the eventfd of each loop, which is kept for the next.
        try await cycle(0, loopCount)
        let descriptors = entries("/proc/self/fd").count
        var left: Set<String> = []
        for round in 1...50 {
            try await cycle(round, loopCount)
            left.formUnion(await remaining())
        }
        print("threads left: \(left.sorted())")
        print("descriptors: \(entries("/proc/self/fd").count - descriptors) more")
    }

    private struct Mistake: Error {}

    private static func cycle(_ round: Int, _ loopCount: Int) async throws {
        let configuration = RuntimeConfiguration.production.with { $0.loops.count = loopCount }
        do {
            try await withRuntime(configuration) { runtime in
                let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
                let port = listener.localAddress.port ?? 0
                // Nobody serves this one.
                _ = try await TCPListener.bind(host: "127.0.0.1", port: 0)
                runtime.spawn(name: "server") {
                    try await listener.serve { connection in
                        try await connection.outbound.write(contentsOf: connection.inbound)
                    }
                }
                runtime.spawn(name: "ticks", every: .milliseconds(1)) {}
                let answer = try await withTCPConnection(host: "127.0.0.1", port: port) {
                    try await $0.outbound.write("cycle \(round)\n")
                    return try await $0.inbound.readLine()
                }
                guard answer == "cycle \(round)", threads.count >= loopCount else {
                    throw RuntimeMistake(answer: answer, threads: threads)
                }
                switch round % 3 {
                case 0: runtime.shutdown.request(reason: "round \(round)")
                case 1: throw Mistake()
                default: break
                }
            }
        } catch is Mistake {}
    }

    /// The threads that are there still: one that was joined is shown by the kernel until it has been
    /// taken apart, which on a busy machine is a moment later.
    private static func remaining() async -> [String] {
        for _ in 0..<200 where !threads.isEmpty { try? await Task.sleep(for: .milliseconds(10)) }
        return threads
    }

    struct RuntimeMistake: Error {
        let answer: String?
        let threads: [String]
    }

    /// The names of our threads, as the kernel has them.
    private static var threads: [String] {
        entries("/proc/self/task").compactMap { entry -> String? in
            let fd = open("/proc/self/task/\(entry)/comm", O_RDONLY | O_CLOEXEC)
            guard fd >= 0 else { return nil }
            defer { close(fd) }
            var bytes = [UInt8](repeating: 0, count: 32)
            let count = max(0, read(fd, &bytes, bytes.count))
            let name = String(decoding: bytes[..<count], as: UTF8.self)
            return name.hasPrefix("noria") ? String(name.prefix { $0 != "\n" }) : nil
        }
    }

    private static func entries(_ path: String) -> [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }
}
