// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// Programs that own their main and embed the runtime, for tests; in plain Swift 6, as a user has it.
///
/// Each prints what it saw, one fact a line, for the test to judge.
@main
struct EmbeddedProbe {
    static func main() async throws {
        let arguments = CommandLine.arguments.dropFirst()
        let number = arguments.last.flatMap { Int($0) } ?? 0
        switch arguments.first {
        case "banner": try await banner(port: number)
        case "cycles": try await Cycles.run(loopCount: number)
        case "late": try await Ends.late(port: number)
        case "throws": try await Ends.throwing()
        case "signals": try await Ends.signals()
        default:
            print("usage: EmbeddedProbe NAME NUMBER")
            exit(64)
        }
    }

    /// The embedded program of the plan: a captured `var`, and no takeover.
    private static func banner(port: Int) async throws {
        var lines = 0
        let banner = try await withRuntime { runtime in
            try await withTCPConnection(host: "127.0.0.1", port: port) { connection in
                while let line = try await connection.inbound.readLine() {
                    lines += 1
                    if line.hasPrefix("220 ") { return line }
                }
                return ""
            }
        }
        print(banner, lines)
    }
}
