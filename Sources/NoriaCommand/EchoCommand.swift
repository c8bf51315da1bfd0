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
            a message that was sent whole is answered whole, then the exit code is 0. A flag \
            stands over its NORIA_* variable; 'noria doctor --config' lists those.
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

    @Option(help: "The kernel interface: io_uring, epoll, poll or automatic. (default: automatic)")
    var backend: String?

    @Option(help: "The number of event loops, each with a thread of its own. (default: 1)")
    var loops: Int?

    @OptionGroup var faults: FaultOptions

    @OptionGroup var shutdown: ShutdownOptions

    @OptionGroup var filter: FilterOptions

    func validate() throws {
        let countLimit = RuntimeConfiguration.Loops.countLimit
        if let loops, !(1...countLimit).contains(loops) {
            throw ValidationError("'--loops \(loops)': from 1 to \(countLimit)")
        }
        if let port, !(0...65_535).contains(port) {
            throw ValidationError("'--port \(port)': from 0 to 65535")
        }
        try faults.check()
        try shutdown.check()
        guard unix == nil || (host == nil && port == nil) else {
            throw ValidationError("'--unix' stands in the place of '--host' and '--port'")
        }
        if let backend, BackendPolicy(argument: backend) == nil {
            throw ValidationError(
                "'--backend \(backend)' is no backend; use automatic, io_uring, epoll or poll"
            )
        }
    }

    func run() throws {
        try filter.apply()
        let (host, port, unix) = (host ?? "127.0.0.1", port ?? 7000, unix)
        let (faults, shutdown) = (faults.wanted, shutdown)
        let configuration = RuntimeConfiguration.production.with {
            if let policy = backend.flatMap(BackendPolicy.init(argument:)) {
                $0.backend = policy
                $0.typedKnobs.insert("backend")
            }
            if let loops {
                $0.loops.count = loops
                $0.typedKnobs.insert("loops.count")
            }
            shutdown.apply(to: &$0)
        }
        Runtime.main(configuration) { runtime in
            if let unix {
                let listener = try await UnixListener.bind(address: Self.address(unix))
                Self.announce(listener.localAddress, runtime)
                try shutdown.begin(runtime)
                try await listener.serve { try await Self.echo($0, faults) }
            } else {
                let listener = try await TCPListener.bind(host: host, port: port)
                Self.announce(listener.localAddress, runtime)
                try shutdown.begin(runtime)
                try await listener.serve { try await Self.echo($0, faults) }
            }
        }
    }

    private static func echo(_ connection: some StreamConnection, _ faults: Faults?) async throws {
        guard let faults else {
            _ = try await connection.outbound.write(contentsOf: connection.inbound)
            return
        }
        for try await message in connection.inbound {
            faults.count()
            try await connection.outbound.write(message)
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
