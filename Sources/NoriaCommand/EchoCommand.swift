// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Noria
import NoriaSystem
import SystemPackage

/// An echo server: the thinnest whole way from a client's byte to Swift code and back.
struct EchoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "echo",
        abstract: "Serve an echo over TCP or a Unix socket until SIGTERM or SIGINT.",
        discussion: """
            Every byte that a client sends is sent back. Try it with 'nc 127.0.0.1 7000'. One \
            line on standard output says when it listens and on which backend. SIGTERM drains: \
            a message that was sent whole is answered whole, then the exit code is 0.
            """
    )

    @Option(help: "The IPv4 or IPv6 literal to listen on. (default: 127.0.0.1)")
    var host: String?

    @Option(help: "The port to listen on; 0 takes a free one. (default: 7000)")
    var port: Int?

    @Option(
        help: ArgumentHelp(
            "The path of a Unix socket to listen on instead, for this user alone; @NAME for an"
                + " abstract one, for everybody.",
            valueName: "path"
        )
    )
    var unix: String?

    @Option(help: "The kernel interface: io_uring, epoll, poll or automatic.")
    var backend = "automatic"

    @Option(help: "The number of event loops, each with a thread of its own.")
    var loops = 1

    @OptionGroup var filter: FilterOptions

    func validate() throws {
        guard (1...RuntimeConfiguration.Loops.countLimit).contains(loops) else {
            throw ValidationError(
                "'--loops \(loops)': from 1 to \(RuntimeConfiguration.Loops.countLimit)"
            )
        }
        guard unix == nil || (host == nil && port == nil) else {
            throw ValidationError("'--unix' stands in the place of '--host' and '--port'")
        }
        guard BackendPolicy(argument: backend) != nil else {
            throw ValidationError(
                "'--backend \(backend)' is no backend; use automatic, io_uring, epoll or poll"
            )
        }
    }

    func run() throws {
        guard let policy = BackendPolicy(argument: backend) else { return }
        try filter.apply()
        let (host, port, unix) = (host ?? "127.0.0.1", port ?? 7000, unix)
        let configuration = RuntimeConfiguration.production.with {
            $0.backend = policy
            $0.loops.count = loops
        }
        Runtime.main(configuration) { runtime in
            if let unix {
                let listener = try await UnixListener.bind(address: Self.address(unix))
                Self.announce(listener.localAddress, runtime)
                try await listener.serve { try await $0.outbound.write(contentsOf: $0.inbound) }
            } else {
                let listener = try await TCPListener.bind(host: host, port: port)
                Self.announce(listener.localAddress, runtime)
                try await listener.serve { try await $0.outbound.write(contentsOf: $0.inbound) }
            }
        }
    }

    private static func address(_ unix: String) throws(NetworkError) -> SocketAddress {
        unix.hasPrefix("@") ? try .abstract(String(unix.dropFirst())) : try .unix(FilePath(unix))
    }

    private static func announce(_ address: SocketAddress, _ runtime: Runtime) {
        Thread.write(
            "listening on \(address) backend=\(runtime.backend.kind)"
                + " loops=\(runtime.eventLoops.count)\n",
            to: 1
        )
    }
}
