// SPDX-License-Identifier: Apache-2.0
import Logging
import Noria

actor Settings {
    private var lines: [String] = []

    func reload(from path: String) async throws {
        let bytes = try await File.read(FilePath(path), limit: 65_536)
        lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
    }
}

@main struct Reload {
    static func main() {
        Runtime.main(.production.with { $0.diagnostics.uncaughtErrors = .shutDown }) { runtime in
            let settings = Settings()
            runtime.spawn(name: "reload on SIGHUP") {
                for await _ in runtime.signals(.hangup) {
                    do { try await settings.reload(from: "/etc/app.conf") } catch {
                        runtime.configuration.logger.error(
                            "reload: \(error); the old settings stay"
                        )
                    }
                }
            }
            // Nobody awaits it: what it throws ends the program.
            Task(name: "warm up") { try await settings.reload(from: "/etc/app.conf") }
            try await runtime.shutdown.requested()
        }
    }
}
