// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// How an embedded runtime ends, and what it leaves to its program.
enum Ends {
    /// A body that does not listen to its cancellation, and is waited for beyond the deadline.
    static func late(port: Int) async throws {
        let configuration = RuntimeConfiguration.production.with {
            $0.shutdown.deadline = .milliseconds(200)
        }
        let value = try await withRuntime(configuration) { runtime in
            let connection = try await TCPConnection.connect(host: "127.0.0.1", port: port)
            runtime.shutdown.request(reason: "enough")
            // The test answers when it has seen the report; nothing cancels this task.
            let line = await Task.detached { try? await connection.inbound.readLine() }.value
            await connection.close()
            return line ?? "nothing"
        }
        print("value: \(value)")
    }

    struct Mistake: Error {}

    static func throwing() async throws {
        do {
            try await withRuntime { runtime in
                runtime.spawn(name: "sleeper") { try await Task.sleep(for: .seconds(60)) }
                throw Mistake()
            }
        } catch { print("caught: \(error)") }
    }

    /// SIGTERM, SIGPIPE and SIGHUP as the program has them.
    static func signals() async throws {
        signal(SIGHUP, SIG_IGN)
        try await withRuntime { runtime in
            var caught = 0
            for await _ in runtime.signals(.hangup, .user1) { caught += 1 }
            print("caught: \(caught)")
            for number in [SIGTERM, SIGINT, SIGPIPE, SIGUSR1] {
                var action = sigaction()
                sigaction(number, nil, &action)
                print("\(number) default: \(action.__sigaction_handler.sa_handler == nil)")
            }
            for check in runtime.productionCheck() where check.name == "signals and deadline" {
                print("\(check)")
            }
            print("ready")
            fflush(nil)
            try await Task.sleep(for: .seconds(60))
        }
    }
}
