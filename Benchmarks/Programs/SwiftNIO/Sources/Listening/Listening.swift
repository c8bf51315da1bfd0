// SPDX-License-Identifier: Apache-2.0
@preconcurrency import Glibc
import NIOCore
import NIOPosix

/// What both servers do alike: the command line, the options of the sockets, the line on start.
public enum Listening {
    /// As the references: what is compared is the loops.
    private static let bufferByteCount = 128 * 1024

    /// The address of the command line; a wrong command line ends the process.
    public static func address() -> (host: String, port: Int) {
        let words = CommandLine.arguments
        guard words.count == 3, let port = Int(words[2]), 0...65535 ~= port else {
            fputs("usage: \(words[0]) HOST PORT\n", stderr)
            exit(2)
        }
        return (words[1], port)
    }

    /// A listener's set-up on `group`, with the options that every peer has.
    public static func bootstrap(_ group: any EventLoopGroup) -> ServerBootstrap {
        // The same end as the references': nothing is drained, the status is 0.
        signal(SIGTERM) { _ in _exit(0) }
        return ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 4096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(
                .recvAllocator,
                value: FixedSizeRecvByteBufferAllocator(capacity: bufferByteCount)
            )
    }

    /// Prints the line that the measuring programs wait for.
    public static func announce(_ channel: any Channel, backend: String) {
        guard let address = channel.localAddress, let host = address.ipAddress,
            let port = address.port
        else { fatalError("a listener without an address") }
        print("listening on \(host):\(port) backend=\(backend) loops=1")
        fflush(nil)
    }
}
