// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria
import NoriaSystem
import TestSupport
import Testing

extension EmbeddingTests {
    private func folder() throws -> (TemporaryFolder, FilePath) {
        let folder = try TemporaryFolder()
        return (folder, FilePath(folder.path))
    }

    @Test("what is written is read again, by position and at the end", arguments: settings)
    func positions(setting: Setting) async throws {
        let (keep, folder) = try folder()
        try await withRuntime(setting.configuration) { runtime in
            let path = folder.appending("data")
            let bytes = [UInt8].pattern(300_000)
            try await withFile(path, .readWrite, options: [.create, .exclusiveCreate]) { file in
                #expect(EventLoop.current?.index == 0)
                try await file.write(bytes, at: 0)
                #expect(try await file.read(at: 0, count: 300_000) == bytes)
                #expect(try await file.read(at: 299_990, count: 100) == Array(bytes.suffix(10)))
                #expect(try await file.read(at: 300_000, count: 100).isEmpty)
                #expect(try await file.read(at: 1_000_000, count: .max).isEmpty)
                try await file.append([1, 2, 3])
                // Behind the end: what lies between is zeros.
                try await file.write([9], at: 300_005)
                #expect(try await file.read(at: 300_000, count: .max) == [1, 2, 3, 0, 0, 9])
                try await file.sync()
                let status = try await file.status()
                #expect(status.kind == .regular)
                #expect(status.byteCount == 300_006)
                await #expect(throws: FileError.self) { try await file.read(at: -1, count: 1) }
            }
            #expect(try await File.status(of: path).byteCount == 300_006)
            await #expect(throws: FileError.self) {
                try await withFile(path, .readWrite, options: [.create, .exclusiveCreate]) { _ in }
            }
        }
        withExtendedLifetime(keep) {}
    }

    @Test("many tasks append, and no byte is lost; a file comes in chunks", arguments: settings)
    func chunks(setting: Setting) async throws {
        let (keep, folder) = try folder()
        try await withRuntime(setting.configuration) { _ in
            let path = folder.appending("log")
            try await withFile(path, .readWrite, options: .create) { file in
                try await withThrowingDiscardingTaskGroup { group in
                    for index in 0..<100 as Range<UInt8> {
                        group.addTask {
                            try await file.append([UInt8](repeating: index, count: 50))
                        }
                    }
                }
                var sizes: [Int] = []
                var counts: [UInt8: Int] = [:]
                for try await chunk in file.chunks(byteCount: 1_024) {
                    sizes.append(chunk.count)
                    for byte in chunk { counts[byte, default: 0] += 1 }
                }
                #expect(sizes == [1_024, 1_024, 1_024, 1_024, 904])
                #expect(counts.count == 100)
                #expect(counts.values.allSatisfy { $0 == 50 })
            }
            var empty = 0
            try await withFile(folder.appending("empty"), .readWrite, options: .create) { file in
                for try await _ in file.chunks() { empty += 1 }
            }
            #expect(empty == 0)
        }
        withExtendedLifetime(keep) {}
    }

    @Test("paths: write, read with a limit, rename, list, remove", arguments: settings)
    func paths(setting: Setting) async throws {
        let (keep, folder) = try folder()
        try await withRuntime(setting.configuration) { _ in
            let (one, two) = (folder.appending("one"), folder.appending("two"))
            try await File.write([1, 2, 3, 4], to: one)
            try await File.write([5, 6], to: one)
            #expect(try await File.read(one, limit: 2) == [5, 6])
            let large = await #expect(throws: FileError.self) { try await File.read(one, limit: 1) }
            #expect(large?.errno == .fileTooLarge)
            try await File.rename(one, to: two)
            #expect(try await File.entries(of: folder) == ["two"])
            #expect(try await File.status(of: folder).kind == .directory)
            try await File.remove(two)
            #expect(try await File.entries(of: folder).isEmpty)
            // It does not know its length.
            #expect(try await File.read("/proc/self/status", limit: 65_536).count > 100)
            let endless = await #expect(throws: FileError.self) {
                try await File.read("/dev/zero", limit: 100_000)
            }
            #expect(endless?.errno == .fileTooLarge)
        }
        withExtendedLifetime(keep) {}
    }

    @Test("an error says what failed, on what, and what to do", arguments: settings)
    func errors(setting: Setting) async throws {
        let (keep, folder) = try folder()
        try await withRuntime(setting.configuration) { _ in
            let missing = folder.appending("missing")
            let error = await #expect(throws: FileError.self) {
                try await withFile(missing) { _ in }
            }
            #expect(error?.errno == .noSuchFileOrDirectory)
            #expect(error?.description == "open \(missing): No such file or directory (ENOENT)")
            let directory = await #expect(throws: FileError.self) {
                try await File.read(folder, limit: 10)
            }
            #expect(directory?.errno == .isDirectory)
            #expect(directory?.description.contains("'File.entries(of:)' lists it") == true)
            let full = await #expect(throws: FileError.self) {
                try await withFile("/dev/full", .writeOnly) { try await $0.write([1], at: 0) }
            }
            #expect(full?.errno == .noSpace)
            #expect(full?.operation == "write to")
            await #expect(throws: FileError.self) { try await File.remove(folder) }
            await #expect(throws: FileError.self) { try await File.entries(of: missing) }
            await #expect(throws: FileError.self) { try await File.status(of: missing) }
            await #expect(throws: FileError.self) { try await File.rename(missing, to: folder) }
            // Used after its scope.
            var kept: File?
            try await File.write([1], to: missing)
            try await withFile(missing) { kept = $0 }
            let late = await #expect(throws: FileError.self) {
                try await kept?.read(at: 0, count: 1)
            }
            #expect(late?.errno == .badFileDescriptor)
        }
        await #expect(throws: RuntimeError.self) { try await File.read("/", limit: 1) }
        withExtendedLifetime(keep) {}
    }

    @Test(
        "a full disk, a folder in a file's place and a path that can't be are said",
        arguments: settings
    )
    func badPlaces(setting: Setting) async throws {
        let (keep, folder) = try folder()
        let long = String(repeating: "x", count: 300)
        func said(_ body: () async throws -> Void) async -> String {
            do {
                try await body()
                return "done"
            } catch { return "\(error)" }
        }
        let full =
            "No space left on device (ENOSPC); the file system is full; what was written"
            + " before is still there"
        let isFolder =
            "Is a directory (EISDIR); a directory stands there; 'File.entries(of:)'"
            + " lists it"
        let isNone = "Not a directory (ENOTDIR)"
        try await withRuntime(setting.configuration) { _ in
            let (file, below) = (folder.appending("file"), folder.appending("file/below"))
            try await File.write([1], to: file)
            let seen = [
                await said { try await File.write([1], to: "/dev/full") },
                await said { try await withFile("/dev/full", .writeOnly) { try await $0.sync() } },
                await said { try await File.write([1], to: folder) },
                await said { try await withFile(folder, .readWrite) { _ in } },
                await said { try await withFile(folder) { for try await _ in $0.chunks() {} } },
                await said { _ = try await File.read(below, limit: 1) },
                await said { _ = try await File.entries(of: file) },
                await said { try await File.rename(folder, to: below) },
                await said { _ = try await File.status(of: FilePath("/" + long)) },
            ]
            #expect(
                seen == [
                    "write /dev/full: \(full)", "sync /dev/full: Invalid argument (EINVAL)",
                    "write \(folder): \(isFolder)", "open \(folder): \(isFolder)",
                    "read from \(folder): \(isFolder)", "read \(below): \(isNone)",
                    "list \(file): \(isNone)", "rename to \(below) \(folder): \(isNone)",
                    "ask about /\(long): File name too long (ENAMETOOLONG)",
                ]
            )
        }
        withExtendedLifetime(keep) {}
    }

    /// Takes nobody's rights to files for this thread: root may read everything else.
    private static func becomeNobody() throws {
        let address = try #require(dlsym(nil, "setfsuid"))
        // SAFETY: `int setfsuid(uid_t)`, sys/fsuid.h, which Swift's module of the C library lacks.
        let call = unsafeBitCast(address, to: (@convention(c) (UInt32) -> Int32).self)
        _ = call(65_534)
    }

    @Test("a file that is not for this user is said to be so", arguments: settings)
    func denied(setting: Setting) async throws {
        let (keep, folder) = try folder()
        let path = folder.appending("secret")
        let configuration = setting.configuration.with {
            $0.blocking.threadLimit = 1
            $0.blocking.maximumThreadLimit = 1
        }
        try await withRuntime(configuration) { runtime in
            try await File.write([1], to: path)
            try await runtime.blocking.run {
                chmod(path.string, 0)
                try Self.becomeNobody()
            }
            let error = await #expect(throws: FileError.self) {
                try await File.read(path, limit: 10)
            }
            #expect(
                error?.description
                    == "read \(path): Permission denied (EACCES); this user lacks the right, on the"
                    + " file or on a folder above it"
            )
        }
        withExtendedLifetime(keep) {}
    }

    @Test("a file is sent in order with other writes, however slow its peer", arguments: settings)
    func sent(setting: Setting) async throws {
        let (keep, folder) = try folder()
        try await withRuntime(setting.configuration) { runtime in
            let path = folder.appending("page")
            let bytes = [UInt8].pattern(1_000_000)
            try await File.write(bytes, to: path)
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let port = listener.localAddress.port ?? 0
            runtime.spawn(name: "server") {
                try await listener.serve { connection in
                    try await connection.outbound.write("head")
                    try await withFile(path) { file in
                        let count = try await connection.outbound.write(contentsOf: file)
                        #expect(count == 1_000_000)
                        let part = try await connection.outbound.write(
                            contentsOf: file,
                            from: 999_990,
                            count: 5
                        )
                        #expect(part == 5)
                    }
                    try await connection.outbound.write("tail")
                }
            }
            let received = try await withTCPConnection(host: "127.0.0.1", port: port) {
                connection in
                try await connection.inbound.read(exactly: 1_000_013)
            }
            let part = Array(bytes[999_990..<999_995])
            #expect(received == Array("head".utf8) + bytes + part + Array("tail".utf8))
        }
        withExtendedLifetime(keep) {}
    }
}
