// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria
import TestSupport

/// What a process holds after a run, against what it held before: measured from the first run on.
enum Restored {
    private struct Holdings: Equatable {
        /// What each descriptor is, not its number.
        let descriptors = LeakCheck(of: getpid()).descriptors
        let threads = LeakCheck.entries(of: "/proc/self/task").map { thread in
            (try? LeakCheck.text(of: "/proc/self/task/\(thread)/comm")) ?? "gone"
        }.sorted()
        /// Handler and flags of every signal.
        let dispositions: [[UInt]] = (1...64).map { (number: Int32) in
            var action = sigaction()
            guard sigaction(number, nil, &action) == 0 else { return [] }
            let handler = unsafeBitCast(action.__sigaction_handler.sa_handler, to: UInt.self)
            // SA_RESTORER is the C library's own: it stands once a signal was ever set.
            return [handler, UInt(bitPattern: Int(action.sa_flags & ~0x0400_0000))]
        }
        let blocked: [Int32] = {
            var set = sigset_t()
            pthread_sigmask(SIG_BLOCK, nil, &set)
            return (1...64).filter { sigismember(&set, $0) == 1 }
        }()
    }

    static func run() {
        // What the process makes once and keeps is made here.
        check("first", nil) { _ in }
        let before = Holdings()
        check("nothing", before) { _ in }
        check("sleeps and tasks", before) { _ in
            await withTaskGroup { group in
                for _ in 0..<10 {
                    group.addTask { try? await Task.sleep(for: .milliseconds(1)) }
                }
            }
        }
        check("a body that throws", before) { _ in throw CancellationError() }
        check("a listener that is never served", before) { _ in
            _ = try await TCPListener.bind(host: "127.0.0.1", port: 0)
        }
        check("a listener that is served and shut down", before) { runtime in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            runtime.shutdown.request(reason: "the test")
            try await listener.serve { _ in }
        }
        check("a shutdown by a signal", before) { runtime in
            kill(getpid(), SIGTERM)
            try await runtime.shutdown.requested()
        }
        check("signals, spawned tasks and sleeps", before) { runtime in
            let signals = runtime.signals(.hangup, .user1)
            runtime.spawn(name: "signals") { for await _ in signals {} }
            runtime.spawn(name: "again", every: .seconds(60)) {}
            try await runtime.clock.sleep(for: .milliseconds(1))
        }
        check("calls in worker processes, one of them left in the middle", before) { runtime in
            for fate in [FateCall.Fate.trap, .throwing, .kill, .exit] {
                _ = try? await runtime.processes.run(FateCall(fate: fate, number: 1))
            }
            _ = try? await runtime.processes.run(FateCall(fate: .spin), timeout: .milliseconds(1))
            let left = Task { try await runtime.processes.run(FateCall(fate: .spin)) }
            try await runtime.clock.sleep(for: .milliseconds(1))
            left.cancel()
        }
        let impossible = NoriaProbe.configuration.with {
            $0.backend = .automatic.excluding(.ioUring, .epoll, .poll)
            $0.readsEnvironment = false
        }
        do {
            _ = try Runtime.run(impossible) { _ in }
            print("no backend: ran")
        } catch { print("no backend: \(Holdings() == before)") }
    }

    /// COUNT runs of all kinds: each gives back what it took, and they need no more memory each.
    static func manyRuns() {
        let count = CommandLine.arguments.last.flatMap { Int($0) } ?? 20
        check("first", nil) { _ in }
        let before = Holdings()
        var memory: [Int] = []
        for round in 1...count {
            check("run \(round)", before) { runtime in
                let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
                let signals = runtime.signals(.hangup)
                runtime.spawn(name: "serve") {
                    try await listener.serve { connection in
                        try await connection.outbound.write(contentsOf: connection.inbound)
                    }
                }
                runtime.spawn(name: "signals") { for await _ in signals {} }
                runtime.spawn(name: "again", every: .milliseconds(1)) {}
                try await withTCPConnection(
                    host: "127.0.0.1",
                    port: listener.localAddress.port ?? 0
                ) { client in
                    try await client.outbound.write([UInt8](repeating: 1, count: 100_000))
                    _ = try await client.inbound.read(exactly: 100_000)
                }
            }
            memory.append(residentByteCount)
        }
        // The first five fill the caches of the allocator and of the concurrency library.
        let growth = memory[count - 1] - memory[4]
        print("memory bounded: \(growth < 2 << 20)")
        if growth >= 2 << 20 { print("  \(memory)") }
    }

    static var residentByteCount: Int {
        guard let file = fopen("/proc/self/statm", "r") else { return -1 }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 200)
        fgets(&line, 200, file)
        let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self)
        let pages = text.split(separator: " ").dropFirst().first.flatMap { Int($0) }
        return (pages ?? 0) * 4096
    }

    private static func check(
        _ name: String,
        _ before: Holdings?,
        _ body: sending @escaping (Runtime) async throws -> Void
    ) {
        do { _ = try Runtime.run(NoriaProbe.configuration, body) } catch { print("\(error)") }
        guard let before else { return }
        // A thread that has been told to end needs a moment of its own.
        var after = Holdings()
        for _ in 0..<5000 where after != before {
            usleep(2000)
            after = Holdings()
        }
        print("\(name): \(after == before)")
        guard after != before else { return }
        print("  descriptors \(before.descriptors) then \(after.descriptors)")
        print("  threads \(before.threads) then \(after.threads)")
        print("  signals \(before.dispositions == after.dispositions)")
    }
}
