// SPDX-License-Identifier: Apache-2.0
import Noria
import ServiceLifecycle
// For `.sigterm`, where a module has MemberImportVisibility.
import UnixSignals

actor Cache {
    func refresh() async throws {}
    func flush() async throws {}
}

struct CacheService: Service {
    let cache: Cache

    func run() async throws {
        try await gracefulShutdown()
        try await cache.flush()
    }
}

struct LineService: Service {
    let port: Int

    // `serve` returns when the group drains it: no handler to write.
    func run() async throws {
        try await TCPListener.bind(host: "0.0.0.0", port: port).serve { connection in
            for try await line in connection.inbound.lines() {
                try await connection.outbound.write(line + "\n")
            }
        }
    }
}

@main struct Services {
    static func main() {
        Runtime.main(.production.with { $0.shutdown = .kubernetes }) { runtime in
            let cache = Cache()
            runtime.spawn(name: "refresh cache", every: .seconds(30)) { try await cache.refresh() }
            try await runtime.run(services: [CacheService(cache: cache), LineService(port: 7006)])
        }
    }
}

func embedded() async throws {
    try await withRuntime { runtime in
        try await ServiceGroup(
            services: [runtime, LineService(port: 7006)],
            gracefulShutdownSignals: [.sigterm, .sigint],
            logger: runtime.configuration.logger
        ).run()
    }
}
