// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// Unix listeners and connections, both ends in one process; one fact a line.
enum UnixSockets {
    /// In the folder that is the second argument.
    static func run() {
        let folder = FilePath(CommandLine.arguments[2])
        // A queue of two: the kernel takes one connection more than the backlog.
        let configuration = NoriaProbe.configuration.with { $0.network.socket.backlog = 1 }
        do {
            let outcome = try Runtime.run(configuration) { _ in
                try await modes(folder)
                try await names(folder)
                try await refusals(folder)
                try await queue(folder)
                try await aborting(folder)
                try await closing(folder)
            }
            print("ended: \(try outcome.value)")
        } catch { print("failed: \(error)") }
    }

    private static func modes(_ folder: FilePath) async throws {
        let path = folder.appending("mode")
        for (mask, mode) in [(0, 0o600), (0o077, 0o666), (0o027, 0o660)] as [(mode_t, mode_t)] {
            umask(mask)
            let listener = try await UnixListener.bind(
                path: path,
                mode: FilePermissions(rawValue: mode)
            )
            var status = stat()
            stat(path.string, &status)
            print("mode: \(String(status.st_mode & 0o7777, radix: 8))")
            await listener.close()
        }
        umask(0o022)
    }

    private static func names(_ folder: FilePath) async throws {
        let path = folder.appending("names")
        let listener = try await UnixListener.bind(path: path)
        print("listener: \(listener.localAddress == (try SocketAddress.unix(path)))")
        let serving = Task {
            try await listener.serve { connection in
                let peer = try connection.peerCredentials
                let isSelf = peer.processID == getpid() && peer.userID == geteuid()
                print("server sees itself: \(isSelf && peer.groupID == getegid())")
                let ends = (connection.localAddress, connection.peerAddress)
                print("server: \(ends.0 == listener.localAddress) \(ends.1)")
                let name = "connection \(connection.id) from unix:(unnamed) (process \(getpid()),"
                print("description: \(connection.description.hasPrefix(name))")
                try await connection.outbound.write(contentsOf: connection.inbound)
            }
        }
        try await withUnixConnection(path: path) { client in
            let peer = try client.peerCredentials
            print("client sees itself: \(peer.processID == getpid())")
            print("client: \(client.localAddress) \(client.peerAddress == listener.localAddress)")
            try await client.outbound.write("echo")
            try await client.outbound.finish()
            let answer = try await client.inbound.readAll(limit: 10)
            print("answer: \(String(decoding: answer, as: UTF8.self))")
        }
        listener.stopAccepting()
        try await serving.value
        print("gone: \(access(path.string, F_OK) != 0)")
    }

    private static func refusals(_ folder: FilePath) async throws {
        let path = folder.appending("refusals")
        await say("nobody") { _ = try await UnixConnection.connect(path: path) }
        close(open(path.string, O_CREAT | O_WRONLY | O_CLOEXEC, 0o600))
        await say("a file") { _ = try await UnixConnection.connect(path: path) }
        unlink(path.string)
        let ip = try SocketAddress("127.0.0.1:1")
        await say("connect ip") { _ = try await UnixConnection.connect(address: ip) }
        await say("bind ip") { _ = try await UnixListener.bind(address: ip) }
        let listener = try await UnixListener.bind(path: path)
        await say("twice") { _ = try await UnixListener.bind(path: path) }
        await listener.close()
        let long = FilePath(String(repeating: "x", count: 200))
        await say("long") { _ = try await UnixListener.bind(path: long) }
    }

    /// A full queue: the time is up, a cancel, and the one who waits until there is room.
    private static func queue(_ folder: FilePath) async throws {
        let path = folder.appending("queue")
        let listener = try await UnixListener.bind(path: path)
        let first = try await UnixConnection.connect(path: path)
        let second = try await UnixConnection.connect(path: path)
        await say("full") {
            _ = try await UnixConnection.connect(path: path, timeout: .milliseconds(50))
        }
        let cancelled = Task { _ = try await UnixConnection.connect(path: path) }
        await Task.yield()
        cancelled.cancel()
        do { try await cancelled.value } catch { print("cancelled: \(error)") }
        let waiting = Task {
            try await withUnixConnection(path: path) { try await $0.inbound.readAll(limit: 10) }
        }
        // It has tried once, and found no room, when another has connected after it in vain.
        await Task.yield()
        do {
            _ = try await UnixConnection.connect(path: path, timeout: .milliseconds(5))
            print("there was room")
        } catch {}
        let serving = Task { try await listener.serve { try await $0.outbound.write("room") } }
        print("waited: \(String(decoding: try await waiting.value, as: UTF8.self))")
        print("first: \(try await first.inbound.readLine() ?? "nil")")
        await first.close()
        await second.close()
        await listener.drain(until: .now + .seconds(5))
        try await serving.value
    }

    /// The peer is told at once, while the handler goes on.
    private static func aborting(_ folder: FilePath) async throws {
        let path = folder.appending("aborting")
        let listener = try await UnixListener.bind(path: path)
        let client = Task {
            try await withUnixConnection(path: path) { client in
                let bytes = try await client.inbound.readAll(limit: 10)
                do {
                    try await client.outbound.write("unheard")
                    try await client.outbound.flush()
                } catch let error as NetworkError { print("peer's write: \(error.kind)") }
                return bytes
            }
        }
        let serving = Task {
            try await listener.serve { connection in
                let reading = Task { try await connection.inbound.next() }
                await Task.yield()
                try await connection.outbound.write("first")
                try await connection.outbound.flush()
                connection.abort()
                do {
                    print("reader: \(try await reading.value ?? [])")
                } catch let error as NetworkError { print("reader: \(error.kind)") }
                print("aborted: \(String(decoding: try await client.value, as: UTF8.self))")
                do { try await connection.outbound.write("more") } catch let error as NetworkError {
                    print("after it: \(error.kind)")
                }
            }
        }
        _ = try await client.value
        listener.stopAccepting()
        try await serving.value
    }

    /// A close removes the path at once, and does not take one that another has by then.
    private static func closing(_ folder: FilePath) async throws {
        let path = folder.appending("closing")
        let listener = try await UnixListener.bind(path: path)
        rename(path.string, path.string + ".old")
        let second = try await UnixListener.bind(path: path)
        await listener.close()
        print("second's path is left: \(access(path.string, F_OK) == 0)")
        await second.close()
        print("closed: \(access(path.string, F_OK) != 0)")
        unlink(path.string + ".old")
        // Nobody closes or serves this one.
        _ = try await UnixListener.bind(path: folder.appending("forgotten"))
    }

    private static func say(_ what: String, _ body: () async throws -> Void) async {
        do {
            try await body()
            print("\(what): no error")
        } catch let error as NetworkError {
            print("\(what): \(error.kind) \(error.errno.map { "\($0.rawValue)" } ?? "-") \(error)")
        } catch { print("\(what): \(error)") }
    }

    /// Says on which loop each connection of two is.
    static func loops() {
        let path = FilePath(CommandLine.arguments[2])
        Runtime.main(NoriaProbe.configuration.with { $0.loops.count = 2 }) { _ in
            let listener = try await UnixListener.bind(path: path)
            print("listening")
            fflush(nil)
            try await listener.serve { connection in
                let isHome = EventLoop.current === connection.eventLoop
                await Task.yield()
                let isStillHome = EventLoop.current === connection.eventLoop
                let place = isHome && isStillHome ? connection.eventLoop.description : "elsewhere"
                try await connection.outbound.write(place)
            }
        }
    }
}
