// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Glibc
import Hummingbird
import NIOCore
import Noria
import NoriaHummingbird

/// An HTTP service to look at: what a Hummingbird application on Noria's loops answers, streams,
/// measures and logs.
@main
struct NoriaDemo: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "noria-demo",
        abstract: "Serve HTTP with Hummingbird on Noria's loops until SIGTERM or SIGINT.",
        discussion: """
            Open it in a browser: the page at / has a link to each endpoint. One line on standard \
            output says when it listens and on which backend. SIGTERM drains: each response in \
            hand is sent to its end, a stream ends early, then the exit code is 0. A flag stands \
            over its NORIA_* variable.
            """
    )

    @Option(help: "The IPv4 or IPv6 literal, or the name, to listen on. (default: 127.0.0.1)")
    var host: String?

    @Option(help: "The TCP port to listen on; 0 takes a free one. (default: 8080)")
    var port: Int?

    @Option(help: "The kernel interface: io_uring, epoll, poll or automatic. (default: automatic)")
    var backend: String?

    @Option(help: "The number of event loops, each with a thread of its own. (default: 1)")
    var loops: Int?

    func validate() throws {
        let countLimit = RuntimeConfiguration.Loops.countLimit
        if let loops, !(1...countLimit).contains(loops) {
            throw ValidationError("'--loops \(loops)': from 1 to \(countLimit)")
        }
        if let port, !(0...65_535).contains(port) {
            throw ValidationError("'--port \(port)': from 0 to 65535")
        }
        if let backend, BackendPolicy(argument: backend) == nil {
            throw ValidationError(
                "'--backend \(backend)' is no backend; use automatic, io_uring, epoll or poll"
            )
        }
    }

    func run() throws {
        let (host, port) = (host ?? "127.0.0.1", port ?? 8080)
        // Variables override the code, but not what somebody typed.
        if backend != nil { unsetenv("NORIA_BACKEND") }
        if loops != nil { unsetenv("NORIA_LOOPS") }
        let configuration = RuntimeConfiguration.production.with {
            if let policy = backend.flatMap(BackendPolicy.init(argument:)) { $0.backend = policy }
            if let loops { $0.loops.count = loops }
            // A tenth of a second is to be seen here; a service is told of a second.
            $0.diagnostics.stallReportThreshold = .milliseconds(100)
        }
        Runtime.main(configuration) { runtime in try await serve(runtime, host, port) }
    }
}

private func serve(_ runtime: Runtime, _ host: String, _ port: Int) async throws {
    guard let address = try await runtime.resolver.addresses(of: host, port: port).first else {
        throw ListenError(address: "\(host):\(port)", error: nil)
    }
    let listens = Flag()
    let application = NoriaApplication(
        router: makeRouter(runtime),
        // The adapter takes literals alone: `127.0.0.1`, or what `[::1]:80` has in brackets.
        address: .hostname(literal(address), port: port),
        configuration: ApplicationConfiguration(serverName: "noria-demo"),
        onServerRunning: { channel in
            listens.set()
            announce(channel.localAddress, runtime)
        }
    )
    do { try await application.run() } catch  where !listens.isSet {
        throw ListenError(address: "\(address)", error: error)
    }
}

private func literal(_ address: Noria.SocketAddress) -> String {
    let text = "\(address)"
    return String(text[..<(text.lastIndex(of: ":") ?? text.endIndex)].filter { !"[]".contains($0) })
}

private func announce(_ address: NIOCore.SocketAddress?, _ runtime: Runtime) {
    let (host, port) = (address?.ipAddress ?? "?", address?.port ?? 0)
    let place = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    print(
        "listening on \(place) backend=\(runtime.backend.kind) loops=\(runtime.eventLoops.count)"
    )
    fflush(nil)  // whoever reads through a pipe waits for this line
}
