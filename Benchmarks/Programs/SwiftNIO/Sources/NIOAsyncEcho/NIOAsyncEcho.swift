// SPDX-License-Identifier: Apache-2.0
@preconcurrency import Glibc
import Listening
import NIOCore
import NIOPosix

/// SwiftNIO with `NIOAsyncChannel`, as its documentation shows it: a task for each connection, on
/// the threads of Swift's own executor, beside the one loop's thread.
///
/// With `NIO_ECHO_ON_LOOP=1` the loop's thread runs the tasks as well: SwiftNIO has that as an
/// experiment, `unsafeTryInstallSingletonPosixEventLoopGroupAsConcurrencyGlobalExecutor`.
@main struct NIOAsyncEcho {
    static func main() async throws {
        let onLoop = getenv("NIO_ECHO_ON_LOOP").map { String(cString: $0) } == "1"
        NIOSingletons.groupLoopCountSuggestion = 1
        if onLoop {
            let taken =
                NIOSingletons
                .unsafeTryInstallSingletonPosixEventLoopGroupAsConcurrencyGlobalExecutor()
            guard taken else { fatalError("this SwiftNIO can't take the executor over") }
        }
        try await serve(backend: onLoop ? "nio-async-on-loop" : "nio-async")
    }

    static func serve(backend: String) async throws {
        let (host, port) = Listening.address()
        let listener = try await Listening.bootstrap(.singletonMultiThreadedEventLoopGroup)
            .bind(host: host, port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
                        wrappingChannelSynchronously: channel
                    )
                }
            }
        Listening.announce(listener.channel, backend: backend)
        try await withThrowingDiscardingTaskGroup { group in
            try await listener.executeThenClose { connections in
                for try await connection in connections {
                    group.addTask { await echo(connection) }
                }
            }
        }
    }

    /// A connection that fails ends alone.
    static func echo(_ connection: NIOAsyncChannel<ByteBuffer, ByteBuffer>) async {
        try? await connection.executeThenClose { inbound, outbound in
            for try await bytes in inbound {
                try await outbound.write(bytes)
            }
        }
    }
}
