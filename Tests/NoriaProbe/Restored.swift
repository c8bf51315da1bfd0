// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// What a process holds after a run, against what it held before: measured from the first run on.
enum Restored {
    private struct Holdings: Equatable {
        let descriptorCount = NoriaProbe.descriptorCount
        let threadCount = NoriaProbe.threadCount
        /// Handler and flags of every signal.
        let dispositions: [[UInt]] = (1...64).map { (number: Int32) in
            var action = sigaction()
            guard sigaction(number, nil, &action) == 0 else { return [] }
            let handler = unsafeBitCast(action.__sigaction_handler.sa_handler, to: UInt.self)
            return [handler, UInt(bitPattern: Int(action.sa_flags))]
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
        let impossible = NoriaProbe.configuration.with {
            $0.backend = .automatic.excluding(.ioUring, .epoll, .poll)
            $0.readsEnvironment = false
        }
        do {
            _ = try Runtime.run(impossible) { _ in }
            print("no backend: ran")
        } catch { print("no backend: \(Holdings() == before)") }
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
        print("  descriptors \(before.descriptorCount) then \(after.descriptorCount)")
        print("  threads \(before.threadCount) then \(after.threadCount)")
        print("  signals \(before.dispositions == after.dispositions)")
    }
}
