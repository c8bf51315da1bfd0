// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria
import ServiceLifecycle

/// Services of swift-service-lifecycle under the runtime.
enum Services {
    /// Answers lines until the group drains it, with no handler for that.
    private struct LineService: Service {
        let name: String

        func run() async throws {
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            print("\(name): listening on \(listener.localAddress)")
            fflush(nil)
            try await listener.serve { connection in
                for try await line in connection.inbound.lines() {
                    try await connection.outbound.write("\(line)\n")
                    if line == "end" { ends.continuation.yield() }
                }
            }
            print("\(name): ended")
            fflush(nil)
        }
    }

    private static let ends = AsyncStream.makeStream(of: Void.self)

    /// Is told of the shutdown, and ends when the line service, which goes on, was told "end".
    private struct PatientService: Service {
        func run() async throws {
            try await gracefulShutdown()
            print("patient: told")
            fflush(nil)
            for await _ in ends.stream { break }
            print("patient: ended")
            fflush(nil)
        }
    }

    /// Hears neither of the shutdown nor of its cancellation.
    private struct StubbornService: Service {
        func run() async throws {
            await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in }
        }
    }

    private struct Mistake: Error {}

    private struct FailingService: Service {
        let whenAsked: Bool

        func run() async throws {
            if whenAsked { try await gracefulShutdown() }
            throw Mistake()
        }
    }

    /// The rest is drained in its turn; a plain loop ends by the shutdown, too.
    private struct TickingService: Service {
        func run() async throws {
            await withGracefulShutdownHandler {
                await cancelWhenGracefulShutdown {
                    do { while true { try await Task.sleep(for: .milliseconds(1)) } } catch {}
                }
            } onGracefulShutdown: {
                print("ticking: told")
            }
            print("ticking: ended")
            fflush(nil)
        }
    }

    static func run() {
        let kind = CommandLine.arguments.last ?? ""
        let configuration = NoriaProbe.configuration.with {
            if kind == "throws late" { $0.shutdown.deadline = .seconds(1) }
        }
        Runtime.main(configuration) { runtime in
            runtime.onShutdown(name: "flush") {
                print("flush")
                fflush(nil)
            }
            switch kind {
            case "throws late":
                runtime.spawn(name: "asks") { runtime.shutdown.request(reason: "asked") }
                try await runtime.run(services: [
                    StubbornService(), FailingService(whenAsked: true),
                ])
            case "throws":
                try await runtime.run(services: [
                    TickingService(), FailingService(whenAsked: false),
                ])
            case "none": try await runtime.run(services: [])
            default:
                try await runtime.run(services: [
                    TickingService(), LineService(name: "front"), PatientService(),
                ])
            }
        }
    }
}
