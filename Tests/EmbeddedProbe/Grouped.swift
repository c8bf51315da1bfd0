// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria
import ServiceLifecycle

/// The runtime as a member of the program's own service group, which has the signals.
enum Grouped {
    private struct LineService: Service {
        func run() async throws {
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            print("listening on \(listener.localAddress)")
            fflush(nil)
            try await listener.serve { connection in
                for try await line in connection.inbound.lines() {
                    try await connection.outbound.write("\(line)\n")
                }
            }
            print("lines: ended")
            fflush(nil)
        }
    }

    static func run() async throws {
        try await withRuntime { runtime in
            let group = ServiceGroup(
                services: [runtime, LineService()],
                gracefulShutdownSignals: [.sigterm, .sigint],
                logger: runtime.configuration.logger
            )
            try await group.run()
            print("group: ended, \(runtime.shutdown.phase)")
        }
        print("runtime: ended")
    }
}
