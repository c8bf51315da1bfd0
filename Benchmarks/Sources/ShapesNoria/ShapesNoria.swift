// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// The echo in the three shapes that `Benchmarks/debug` holds beside asyncio's and uvloop's.
@main
enum ShapesNoria {
    static func main() {
        let words = CommandLine.arguments
        guard words.count == 2, let shape = Shape(rawValue: words[1]) else {
            print("usage: shapes-noria \(Shape.allCases.map(\.rawValue).joined(separator: "|"))")
            exit(2)
        }
        Runtime.main { runtime in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            print(
                "listening on \(listener.localAddress) backend=\(runtime.backend.kind) loops=1",
                "debug=\(runtime.configuration.diagnostics.debug == .on ? "on" : "off")"
            )
            fflush(nil)
            try await listener.serve { try await shape.echo($0) }
        }
    }
}

private enum Shape: String, CaseIterable {
    /// Nobody is woken for a message: as a protocol of asyncio's.
    case forward
    /// A task reads and writes: as a stream of asyncio's.
    case stream
    /// A new task answers each message.
    case task

    func echo(_ connection: TCPConnection) async throws {
        let outbound = connection.outbound
        switch self {
        case .forward: try await outbound.write(contentsOf: connection.inbound)
        case .stream:
            for try await chunk in connection.inbound { try await outbound.write(chunk) }
        case .task:
            for try await chunk in connection.inbound {
                try await Task { try await outbound.write(chunk) }.value
            }
        }
    }
}
