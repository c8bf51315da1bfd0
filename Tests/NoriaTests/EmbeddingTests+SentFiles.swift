// SPDX-License-Identifier: Apache-2.0
import Glibc
import NoriaSystem
import TestSupport
import Testing

@testable import Noria

/// Files to peers that block on a plain thread: `sendfile`, and what may happen in its middle.
extension EmbeddingTests {
    private static let byteCount = 12_000_000
    private static let bytes = [UInt8].pattern(byteCount)

    /// A file of 12 MB, more than a connection's way takes, and a connection to a peer of the test.
    private func withSentFile<Value: Sendable>(
        _ setting: Setting,
        limits: StreamLimits = StreamLimits(),
        _ body: (File, TCPConnection, BlockingClient) async throws -> Value
    ) async throws -> Value {
        let folder = try TemporaryFolder()
        let path = FilePath(folder.path).appending("large")
        defer { withExtendedLifetime(folder) {} }
        return try await withRuntime(setting.configuration) { _ in
            try await File.write(Self.bytes, to: path)
            let listener = try BlockingListener()
            let connection = try await TCPConnection.connect(
                host: "127.0.0.1",
                port: listener.port,
                limits: limits
            )
            let peer = try await plainly { try listener.accept() }
            return try await withFile(path, .readWrite) { file in
                let result: Result<Value, any Error>
                do { result = .success(try await body(file, connection, peer)) } catch {
                    result = .failure(error)
                }
                connection.abort()
                await connection.close()
                return try result.get()
            }
        }
    }

    /// What blocks, on a thread of a pool of its own.
    private func plainly<Value: Sendable>(
        _ body: @escaping @Sendable () throws -> Value
    ) async throws -> Value {
        let runtime = try #require(Runtime.current)
        return try await runtime.makeThreadPool(name: "peer").run { try body() }
    }

    /// Begins to send, and returns when the kernel takes no more of it: the rest waits for the peer.
    private func sending(
        _ file: File,
        to connection: TCPConnection,
        from offset: Int = 0
    ) async throws -> Task<Int, any Error> {
        let channel = connection.outbound.channel
        let task = Task(executorPreference: channel.loop.taskExecutor) {
            try await connection.outbound.write(contentsOf: file, from: offset)
        }
        try await until("the kernel is full") {
            channel.outboundFile != nil && channel.sendToken != nil
        }
        return task
    }

    @Test("what is written while a file is sent goes out after it", arguments: settings)
    func sentInOrder(setting: Setting) async throws {
        let count = Self.byteCount
        let received = try await withSentFile(setting) { file, connection, peer in
            try await connection.outbound.write("head")
            let task = try await sending(file, to: connection)
            try connection.outbound.enqueue("between")
            // A second file waits for its turn, and what is written then for both.
            let second = Task(executorPreference: connection.outbound.channel.loop.taskExecutor) {
                try await connection.outbound.write(contentsOf: file, from: count - 20_000)
            }
            #expect(connection.outbound.unsentByteCount > 7)
            let received = try await plainly { try peer.receive(exactly: 4 + count + 7 + 20_000) }
            #expect(try await task.value == count)
            #expect(try await second.value == 20_000)
            try await connection.outbound.write("tail")
            #expect(try await plainly { try peer.receive(exactly: 4) } == Array("tail".utf8))
            return received
        }
        let expected =
            Array("head".utf8) + Self.bytes + Array("between".utf8) + Self.bytes.suffix(20_000)
        #expect(received == expected)
    }

    @Test("parts of any size come as they are, small ones with what is around", arguments: settings)
    func sentParts(setting: Setting) async throws {
        try await withSentFile(setting) { file, connection, peer in
            for (offset, count) in [
                (0, 1), (5, 16_384), (77, 16_385), (1, 131_072), (3, 131_073), (4_000_000, 999_999),
            ] {
                let sent = try await connection.outbound.write(
                    contentsOf: file,
                    from: offset,
                    count: count
                )
                try await connection.outbound.write("|")
                #expect(sent == count)
                let received = try await plainly { try peer.receive(exactly: count + 1) }
                #expect(received == Self.bytes[offset..<offset + count] + Array("|".utf8))
            }
            let outbound = connection.outbound
            #expect(try await outbound.write(contentsOf: file, from: Self.byteCount) == 0)
            #expect(try await outbound.write(contentsOf: file, from: .max, count: 5) == 0)
            #expect(try await outbound.write(contentsOf: file, count: 0) == 0)
            let last = try await outbound.write(contentsOf: file, from: Self.byteCount - 3)
            #expect(last == 3)
            await #expect(throws: FileError.self) {
                try await outbound.write(contentsOf: file, from: -1)
            }
        }
    }

    @Test("a slow peer gets every byte, and holds no thread of the pool", arguments: settings)
    func sentSlowly(setting: Setting) async throws {
        let received = try await withSentFile(setting) { file, connection, peer in
            let task = try await sending(file, to: connection)
            // The peer has taken nothing yet, and most of the file is still to come.
            let pool = try #require(Runtime.current?.blocking)
            try await until("the pool rests") { pool.snapshot().activeCount == 0 }
            let received = try await plainly {
                var received: [UInt8] = []
                while received.count < Self.byteCount {
                    let chunk = try peer.receive(atMost: 10_007)
                    guard !chunk.isEmpty else { break }
                    received += chunk
                }
                return received
            }
            #expect(try await task.value == Self.byteCount)
            return received
        }
        #expect(received == Self.bytes)
    }

    @Test("a file that is not in memory comes by way of a read", arguments: settings)
    func sentCold(setting: Setting) async throws {
        let received = try await withSentFile(setting) { file, connection, peer in
            try await file.sync()
            let wasCached = try file.handle.withDescriptor { fd throws(Errno) in
                posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED)
                return Files.isCached(fd, at: 0, count: Self.byteCount)
            }
            if wasCached { print("skipped: this file system keeps a file in memory") }
            let pool = try #require(Runtime.current?.blocking)
            let jobCount = pool.snapshot().completed
            let task = Task { try await connection.outbound.write(contentsOf: file) }
            let received = try await plainly { try peer.receive(exactly: Self.byteCount) }
            #expect(try await task.value == Self.byteCount)
            // Where there is no ring for files it is the pool that waits for the disk.
            if !wasCached, setting.backend != .ioUring {
                #expect(pool.snapshot().completed > jobCount)
            }
            return received
        }
        #expect(received == Self.bytes)
    }

    @Test(
        "a peer that resets in the middle is an error, not a signal",
        arguments: settings,
        [false, true]
    )
    func sentToReset(setting: Setting, endsFirst: Bool) async throws {
        try await withSentFile(setting) { file, connection, peer in
            let task = try await sending(file, to: connection)
            let count = try await plainly {
                // Behind an end the kernel calls a reset EPIPE, and has a signal for it.
                if endsFirst { peer.endSending() }
                defer { peer.abort() }
                return try peer.receive(exactly: 100_000).count
            }
            #expect(count == 100_000)
            await #expect(throws: NetworkError.self) { try await task.value }
            await #expect(throws: NetworkError.self) {
                try await connection.outbound.write(contentsOf: file)
            }
        }
    }

    @Test("cancelled in the middle it ends there, and the stream goes on", arguments: settings)
    func sentCancelled(setting: Setting) async throws {
        let received = try await withSentFile(setting) { file, connection, peer in
            let task = try await sending(file, to: connection)
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
            try connection.outbound.enqueue("after")
            let received = try await plainly {
                var received: [UInt8] = []
                while !received.suffix(5).elementsEqual("after".utf8) {
                    received += try peer.receive()
                }
                return received
            }
            try await connection.outbound.flush()
            return received
        }
        let count = received.count - 5
        #expect(count > 0 && count < Self.byteCount)
        #expect(Array(received.prefix(count)) == Array(Self.bytes.prefix(count)))
    }

    @Test("a file that becomes shorter is an error that says so", arguments: settings)
    func sentCut(setting: Setting) async throws {
        try await withSentFile(setting) { file, connection, peer in
            let task = try await sending(file, to: connection)
            let cut = Self.byteCount - 1_000
            try file.handle.withDescriptor { fd throws(Errno) in
                #expect(ftruncate(fd, off_t(cut)) == 0)
            }
            let received = try await plainly { try peer.receive(exactly: cut) }
            let error = await #expect(throws: FileError.self) { try await task.value }
            #expect(error?.errno == .noData)
            #expect(error?.description.contains("\(cut) of \(Self.byteCount) bytes") == true)
            #expect(received == Array(Self.bytes.prefix(cut)))
        }
    }

    @Test("a peer that takes nothing of a file is timed out like any other", arguments: settings)
    func sentTimedOut(setting: Setting) async throws {
        let limits = StreamLimits(writeTimeout: .milliseconds(100))
        try await withSentFile(setting, limits: limits) { file, connection, peer in
            let task = try await sending(file, to: connection)
            let error = await #expect(throws: NetworkError.self) { try await task.value }
            #expect(error?.kind == .timedOut)
            withExtendedLifetime(peer) {}
        }
    }

    @Test(
        "a close waits for a file that another task sends; an abort does not",
        arguments: settings
    )
    func sentAndClosed(setting: Setting) async throws {
        try await withSentFile(setting) { file, connection, peer in
            let task = try await sending(file, to: connection)
            async let closed: Void = connection.close()
            let received = try await plainly { try peer.receiveAll() }
            peer.close()
            await closed
            #expect(try await task.value == Self.byteCount)
            #expect(received == Self.bytes)
        }
        try await withSentFile(setting) { file, connection, peer in
            let task = try await sending(file, to: connection)
            connection.abort()
            await #expect(throws: NetworkError.self) { try await task.value }
            withExtendedLifetime(peer) {}
        }
    }

    @Test("files come through Unix sockets, and those that know no length", arguments: settings)
    func sentThroughUnixSockets(setting: Setting) async throws {
        let folder = try TemporaryFolder()
        let listener = try BlockingListener(unix: "\(folder.path)/socket")
        try await withRuntime(setting.configuration) { _ in
            let path = FilePath(folder.path).appending("file")
            try await File.write(Self.bytes, to: path)
            let connection = try await UnixConnection.connect(
                path: FilePath(folder.path).appending("socket")
            )
            let peer = try await plainly { try listener.accept() }
            let task = Task {
                try await withFile(path) { try await connection.outbound.write(contentsOf: $0) }
            }
            let received = try await plainly { try peer.receive(exactly: Self.byteCount) }
            #expect(received == Self.bytes)
            #expect(try await task.value == Self.byteCount)
            for path in ["/proc/self/limits", "/sys/kernel/notes"] as [FilePath]
            where (try? await File.status(of: path)) != nil {
                let expected = try await File.read(path, limit: 1_000_000)
                let count = try await withFile(path) {
                    try await connection.outbound.write(contentsOf: $0)
                }
                #expect(count == expected.count)
                #expect(try await plainly { try peer.receive(exactly: count) } == expected)
            }
            peer.close()
            await connection.close()
        }
        withExtendedLifetime(folder) {}
    }
}
