// SPDX-License-Identifier: Apache-2.0
import Glibc
import NoriaSystem
import TestSupport
import Testing

@testable import Noria

/// Whatever way a file is read and written, the results are the same.
extension EmbeddingTests {
    private func withFolder<Value>(
        _ setting: Setting,
        _ body: (FilePath) async throws -> Value
    ) async throws -> Value {
        let folder = try TemporaryFolder()
        defer { withExtendedLifetime(folder) {} }
        return try await withRuntime(setting.configuration) { _ in
            try await body(FilePath(folder.path))
        }
    }

    /// What a call came to, errors included.
    private func outcome(_ call: () async throws -> [UInt8]) async -> String {
        do { return "\(try await call().hashValue)" } catch { return "\(error)" }
    }

    @Test("a read on the loop is the same as one by the pool", arguments: settings)
    func sameReads(setting: Setting) async throws {
        try await withFolder(setting) { folder in
            let path = folder.appending("file")
            let bytes = [UInt8].pattern(700_001)
            try await File.write(bytes, to: path)
            try await withFile(path) { file in
                #expect((file.loopWithRing != nil) == (setting.backend == .ioUring))
                for wasCached in [true, false] {
                    for offset in [0, 1, 4_095, 131_072, 700_000, 700_001, 9_000_000, .max, -1] {
                        for count in [0, 1, 4_096, 131_072, 131_073, 700_001, .max, -1] {
                            try file.dropFromMemory(unless: wasCached)
                            let one = await outcome {
                                try await file.read(at: offset, count: count)
                            }
                            let other = await outcome {
                                try await file.readOnPool(at: offset, count: count)
                            }
                            #expect(one == other, "\(count) bytes at \(offset)")
                        }
                    }
                }
                #expect(try await file.read(at: 5, count: .max) == Array(bytes[5...]))
                try file.dropFromMemory()
                #expect(try await file.read(at: 5, count: .max) == Array(bytes[5...]))
            }
        }
    }

    @Test("what is no regular file, and what may not be, is refused alike", arguments: settings)
    func sameErrors(setting: Setting) async throws {
        try await withFolder(setting) { folder in
            try await withFile(folder) { directory in
                let error = await #expect(throws: FileError.self) {
                    try await directory.read(at: 0, count: 1)
                }
                #expect(error?.errno == .isDirectory)
            }
            // For root, too.
            let denied = await #expect(throws: FileError.self) {
                try await withFile("/proc/sys/kernel/version", .writeOnly) { _ in }
            }
            #expect(denied?.errno == .permissionDenied)
            let path = folder.appending("file")
            try await File.write([1, 2, 3], to: path)
            try await withFile(path) { file in
                for error in [
                    await #expect(throws: FileError.self) { try await file.write([1], at: 0) },
                    await #expect(throws: FileError.self) { try await file.append([1]) },
                ] { #expect(error?.errno == .badFileDescriptor) }
                let negative = await #expect(throws: FileError.self) {
                    try await file.write([1], at: -1)
                }
                #expect(negative?.errno == .invalidArgument)
            }
            try await withFile(path, .writeOnly) { file in
                let error = await #expect(throws: FileError.self) {
                    try await file.read(at: 0, count: 1)
                }
                #expect(error?.errno == .badFileDescriptor)
                try await file.write([], at: 0)
                try await file.append([])
            }
            // A pipe has no positions.
            #expect(mkfifo(folder.appending("pipe").string, 0o600) == 0)
            try await withFile(folder.appending("pipe"), .readWrite) { pipe in
                #expect(pipe.loopWithRing == nil)
                let error = await #expect(throws: FileError.self) {
                    try await pipe.read(at: 0, count: 1)
                }
                #expect(error?.errno == .illegalSeek)
            }
        }
    }

    @Test("a full disk is an error, and what was written stands", arguments: settings)
    func fullDisk(setting: Setting) async throws {
        try await withFolder(setting) { folder in
            guard mount("none", folder.string, "tmpfs", 0, "size=64k") == 0 else {
                return print("skipped: this process may mount nothing")
            }
            defer { umount2(folder.string, 2) }
            let path = folder.appending("file")
            try await withFile(path, .readWrite, options: .create) { file in
                let bytes = [UInt8].pattern(40_000)
                try await file.write(bytes, at: 0)
                let full = await #expect(throws: FileError.self) { try await file.append(bytes) }
                #expect(full?.errno == .noSpace)
                #expect(full?.operation == "append to")
                await #expect(throws: FileError.self) { try await file.write(bytes, at: 40_000) }
                #expect(try await file.read(at: 0, count: 40_000) == bytes)
                #expect(try await file.status().byteCount == 65_536)
            }
        }
    }

    @Test(
        "many tasks on one file, from the loop and from elsewhere, in parallel",
        arguments: settings
    )
    func manyReaders(setting: Setting) async throws {
        try await withFolder(setting) { folder in
            let path = folder.appending("file")
            let bytes = [UInt8].pattern(1_000_000)
            try await File.write(bytes, to: path)
            try await withFile(path, .readWrite) { file in
                try await file.sync()
                try file.dropFromMemory()
                try await withThrowingDiscardingTaskGroup { group in
                    for index in 0..<200 {
                        let read = { @Sendable in
                            let offset = index * 4_999
                            let read = try await file.read(at: offset, count: 5_001)
                            #expect(read == Array(bytes[offset..<min(offset + 5_001, bytes.count)]))
                            try await file.write(read, at: offset)
                        }
                        if index.isMultiple(of: 4) {
                            group.addTask { try await Task.detached(operation: read).value }
                        } else {
                            group.addTask(operation: read)
                        }
                    }
                }
                #expect(try await file.read(at: 0, count: .max) == bytes)
            }
        }
    }

    @Test("a cancelled task reads and writes nothing", arguments: settings)
    func cancelledFiles(setting: Setting) async throws {
        try await withFolder(setting) { folder in
            let path = folder.appending("file")
            try await File.write([1], to: path)
            try await withFile(path, .readWrite) { file in
                let task = Task {
                    while !Task.isCancelled { await Task.yield() }
                    await #expect(throws: CancellationError.self) {
                        try await file.read(at: 0, count: 1)
                    }
                    await #expect(throws: CancellationError.self) {
                        try await file.write([2], at: 0)
                    }
                    await #expect(throws: CancellationError.self) { try await file.append([2]) }
                    await #expect(throws: CancellationError.self) { try await file.sync() }
                }
                task.cancel()
                await task.value
                let left = try await file.read(at: 0, count: 9)
                #expect(left == [1])
            }
        }
    }
}

extension File {
    /// Has the kernel forget what it holds of the file, if the file system can.
    fileprivate func dropFromMemory(unless isKept: Bool = false) throws {
        guard !isKept else { return }
        try handle.withDescriptor { fd throws(Errno) in
            try Files.sync(fd)
            posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED)
        }
    }
}
