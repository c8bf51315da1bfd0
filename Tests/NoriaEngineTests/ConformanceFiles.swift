// SPDX-License-Identifier: Apache-2.0
import Glibc
import NoriaEngine
import NoriaSystem
import SystemPackage
import TestSupport
import Testing

/// Memory for a file operation, with the part that names it, at addresses that stay.
private final class Memory {
    let bytes: UnsafeMutableRawBufferPointer
    let part: UnsafeMutablePointer<FilePart>

    init(_ content: [UInt8], at offset: Int?) throws {
        bytes = .allocate(byteCount: content.count, alignment: 16)
        bytes.copyBytes(from: content)
        part = .allocate(capacity: 1)
        let start = try #require(bytes.baseAddress)
        part.initialize(to: FilePart(offset: offset, memory: start, count: content.count))
    }

    deinit {
        bytes.deallocate()
        part.deallocate()
    }

    var content: [UInt8] { [UInt8](bytes) }
}

extension Conformance {
    @Suite struct FileOperations {
        private static let withFiles = ConformanceBackends.all.filter(takesFiles)

        private static func takesFiles(_ kind: BackendKind) -> Bool {
            let backend = BackendSelection.make([kind], bufferCapacity: 4).backend
            return backend?.takesFiles ?? false
        }

        private static func open(_ path: String, _ flags: Int32) throws -> Int32 {
            try Files.open(FilePath(path), flags: flags, permissions: .ownerReadWrite)
        }

        @Test("A backend without them refuses file operations", arguments: ConformanceBackends.all)
        func refused(_ kind: BackendKind) throws {
            guard !Self.takesFiles(kind) else { return }
            let fixture = try ConformanceFixture(kind)
            let fd = try Self.open("/dev/zero", O_RDWR)
            let memory = try Memory([1], at: 0)
            let submissions: [Submission] = [
                .readFile(fd, memory.part), .writeFile(fd, memory.part), .syncFile(fd),
            ]
            for submission in submissions {
                #expect(try fixture.answer(submission) == .failure(.notSupported))
            }
            #expect(memory.content == [1])
            Descriptor.close(fd)
            fixture.finish()
        }

        @Test("What is written is read, at positions and at the end", arguments: withFiles)
        func readsAndWrites(_ kind: BackendKind) throws {
            let folder = try TemporaryFolder()
            let fixture = try ConformanceFixture(kind)
            let fd = try Self.open("\(folder.path)/file", O_RDWR | O_CREAT)
            let written = try Memory([1, 2, 3, 4], at: 2)
            #expect(try fixture.answer(.writeFile(fd, written.part)).result == 4)
            let appended = try Memory([5, 6], at: nil)
            #expect(try fixture.answer(.writeFile(fd, appended.part)).result == 2)
            #expect(try fixture.answer(.syncFile(fd)).result == 0)
            let read = try Memory([UInt8](repeating: 9, count: 10), at: 1)
            #expect(try fixture.answer(.readFile(fd, read.part)).result == 7)
            #expect(read.content == [0, 1, 2, 3, 4, 5, 6, 9, 9, 9])
            let behind = try Memory([9], at: 8)
            #expect(try fixture.answer(.readFile(fd, behind.part)).result == 0)
            Descriptor.close(fd)
            fixture.finish()
            withExtendedLifetime(folder) {}
        }

        @Test("Errors are the kernel's", arguments: withFiles)
        func errors(_ kind: BackendKind) throws {
            let folder = try TemporaryFolder()
            let fixture = try ConformanceFixture(kind)
            let memory = try Memory([1], at: 0)
            let directory = try Self.open(folder.path, O_RDONLY)
            #expect(try fixture.answer(.readFile(directory, memory.part)).error == .isDirectory)
            let full = try Self.open("/dev/full", O_RDWR)
            #expect(try fixture.answer(.writeFile(full, memory.part)).error == .noSpace)
            let file = try Self.open("\(folder.path)/file", O_RDONLY | O_CREAT)
            #expect(
                try fixture.answer(.writeFile(file, memory.part)).error == .badFileDescriptor
            )
            #expect(try fixture.answer(.readFile(-1, memory.part)).error == .badFileDescriptor)
            #expect(try fixture.answer(.syncFile(full)).error == .invalidArgument)
            for fd in [directory, full, file] { Descriptor.close(fd) }
            fixture.finish()
            withExtendedLifetime(folder) {}
        }

        @Test("One that waits is cancelled, alone or with all others", arguments: withFiles)
        func cancelled(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            var ends: [Int32] = [-1, -1]
            #expect(pipe(&ends) == 0)
            let memories = try (0..<3).map { _ in try Memory([7], at: 0) }
            let operations = memories.map { fixture.start(.readFile(ends[0], $0.part)) }
            fixture.turnOnce()
            #expect(!operations.contains { $0.isAnswered })
            fixture.cancel(operations[1])
            #expect(try fixture.answer(of: operations[1]) == .failure(.canceled))
            #expect(!operations[0].isAnswered)
            fixture.engine.close()
            #expect(operations.map(\.answers) == .init(repeating: [.failure(.canceled)], count: 3))
            // Nobody reads into memory that was given back.
            var byte: UInt8 = 1
            #expect(write(ends[1], &byte, 1) == 1)
            fixture.turnOnce()
            #expect(memories.map(\.content) == [[7], [7], [7]])
            for end in ends { Descriptor.close(end) }
            fixture.finish()
        }

        // MARK: Room

        /// Fills the way to a far end by calls that the backend knows nothing of.
        private func fill(_ fixture: ConformanceFixture, _ near: Int32) -> Int {
            let chunk = [UInt8](repeating: 1, count: 1 << 20)
            var byteCount = 0
            while true {
                let count: Int =
                    if let kernel = fixture.kernel {
                        kernel.send(near, chunk)
                    } else {
                        chunk.withUnsafeBytes { bytes in
                            bytes.baseAddress.map { Socket.send(near, $0, count: bytes.count) } ?? 0
                        }
                    }
                guard count > 0 else { return byteCount }
                byteCount += count
            }
        }

        @Test(
            "Room is told of at once, else when the peer makes it",
            arguments: ConformanceBackends.all
        )
        func room(_ kind: BackendKind) throws {
            let fixture = try ConformanceFixture(kind)
            let (near, far) = try fixture.connection()
            for _ in 0..<3 {
                #expect(try fixture.answer(.room(near)).result == 0)
                let byteCount = fill(fixture, near)
                let operation = fixture.start(.room(near))
                for _ in 0..<3 { fixture.turnOnce() }
                #expect(!operation.isAnswered)
                #expect(far.receive(exactly: byteCount).count == byteCount)
                #expect(try fixture.answer(of: operation).result == 0)
            }
            // It takes no byte in either direction.
            far.send([1])
            #expect(try fixture.answer(.receive(near)) == .received([1]))
            _ = fill(fixture, near)
            let cancelled = fixture.start(.room(near))
            fixture.turnOnce()
            fixture.cancel(cancelled)
            #expect(try fixture.answer(of: cancelled) == .failure(.canceled))
            let ended = fixture.start(.room(near))
            far.reset()
            #expect(try fixture.answer(of: ended).result == 0)
            fixture.close(near)
            fixture.finish()
        }
    }
}
