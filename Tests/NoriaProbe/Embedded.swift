// SPDX-License-Identifier: Apache-2.0
import Dispatch
import Noria

/// Embedded runtimes before, in and after a takeover of the same process.
enum Embedded {
    static func aroundRuns() {
        print("before: \(embedded())")
        takeOver(1)
        print("between: \(embedded())")
        takeOver(2)
    }

    private static func takeOver(_ round: Int) {
        do {
            let outcome = try Runtime.run(NoriaProbe.configuration) { _ in
                await MainActor.run { print("run \(round): \(NoriaProbe.place())") }
                do { try await withRuntime { _ in print("run \(round): embedded") } } catch {
                    print("run \(round): \(error)")
                }
            }
            try outcome.value
        } catch { print("run \(round): \(error)") }
    }

    /// What an embedded runtime gave, started from a task while this thread blocks.
    private static func embedded() -> String {
        let semaphore = DispatchSemaphore(value: 0)
        // SAFETY: written before the semaphore is signalled, and read after it was waited for.
        nonisolated(unsafe) var text = ""
        Task.detached {
            do { text = try await echo() } catch { text = "\(error)" }
            semaphore.signal()
        }
        semaphore.wait()
        return text
    }

    private static func echo() async throws -> String {
        try await withRuntime(NoriaProbe.configuration) { runtime in
            do {
                _ = try Runtime.runElsewhere()
                return "a run inside ran"
            } catch {
                guard "\(error)".contains("NoriaProbe/Embedded.swift:") else { return "\(error)" }
            }
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            runtime.spawn(name: "server") {
                try await listener.serve { connection in
                    try await connection.outbound.write(contentsOf: connection.inbound)
                }
            }
            let port = listener.localAddress.port ?? 0
            let line = try await withTCPConnection(host: "127.0.0.1", port: port) { connection in
                try await connection.outbound.write("echo\n")
                return try await connection.inbound.readLine() ?? "ended"
            }
            try await Task.sleep(for: .milliseconds(1))
            let place = NoriaProbe.place()
            // A task that prefers nothing.
            let plain = await Task.detached {
                try? await Task.sleep(for: .milliseconds(1))
                return NoriaProbe.place()
            }.value
            return "\(line) on \(place), a plain task \(plain)"
        }
    }
}

extension Runtime {
    /// From a synchronous function, as it is meant to be called.
    fileprivate static func runElsewhere() throws -> RuntimeOutcome<Void> {
        try run(NoriaProbe.configuration) { _ in }
    }
}
