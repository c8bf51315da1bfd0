// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Noria
import NoriaSystem

/// An echo server: the thinnest whole way from a client's byte to Swift code and back.
struct EchoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "echo",
        abstract: "Serve an echo over TCP until SIGTERM or SIGINT.",
        discussion: """
            Every byte that a client sends is sent back. Try it with 'nc 127.0.0.1 7000'. One \
            line on standard output says when it listens and on which backend. SIGTERM drains: \
            a message that was sent whole is answered whole, then the exit code is 0.
            """
    )

    @Option(help: "The IPv4 or IPv6 literal to listen on.")
    var host = "127.0.0.1"

    @Option(help: "The port to listen on; 0 takes a free one.")
    var port = 7000

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
        guard BackendPolicy(argument: backend) != nil else {
            throw ValidationError(
                "'--backend \(backend)' is no backend; use automatic, io_uring, epoll or poll"
            )
        }
    }

    func run() throws {
        guard let policy = BackendPolicy(argument: backend) else { return }
        try filter.apply()
        let (host, port) = (host, port)
        let configuration = RuntimeConfiguration.production.with {
            $0.backend = policy
            $0.loops.count = loops
        }
        Runtime.main(configuration) { runtime in
            let listener = try await TCPListener.bind(host: host, port: port)
            Thread.write(
                "listening on \(listener.localAddress) backend=\(runtime.backend.kind)"
                    + " loops=\(runtime.eventLoops.count)\n",
                to: 1
            )
            try await listener.serve { connection in
                try await connection.outbound.write(contentsOf: connection.inbound)
            }
        }
    }
}
