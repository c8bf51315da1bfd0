// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
public import SystemPackage

/// Opens a file, runs `body` over it, and closes it, whatever the body does.
///
/// `options` are those of swift-system: `.create`, `.exclusiveCreate`, `.truncate`, `.append`, …; a
/// file that is made takes `permissions`, by default those of everybody less the umask. Opening
/// waits on a thread of ``Runtime/blocking``, as everything here does, and never on the loop.
///
/// - Throws: `FileError`, `RuntimeError` outside of a runtime, `CancellationError`, and what the
///   body throws.
@discardableResult
public func withFile<Value>(
    _ path: FilePath,
    _ mode: FileDescriptor.AccessMode = .readOnly,
    options: FileDescriptor.OpenOptions = [],
    permissions: FilePermissions? = nil,
    _ body: (File) async throws -> Value
) async throws -> Value {
    let pool = try File.pool()
    let flags = mode.rawValue | options.rawValue
    let permissions = permissions ?? [.ownerReadWrite, .groupReadWrite, .otherReadWrite]
    let handle = try await pool.run(name: "open \(path)") {
        let fd = try File.call("open", path) { () throws(Errno) in
            try Files.open(path, flags: flags, permissions: permissions)
        }
        return FileHandle(fd, path, isBuffered: Files.isBuffered(fd))
    }
    let result: Result<Value, any Error>
    do { result = .success(try await body(File(handle: handle, pool: pool))) } catch {
        result = .failure(error)
    }
    // A close may wait for a disk, too; a cancelled task closes all the same.
    handle.close()
    return try result.get()
}

/// An open file, a handle for the scope of ``withFile(_:_:options:permissions:_:)``.
///
/// Reads and writes name their position, so any number of tasks may use it at once. What lies in
/// the kernel's memory is read at once; for the rest an io_uring backend asks the kernel, and on
/// others each call is one job of ``Runtime/blocking``, as it is for what is no regular file and for
/// tasks off the loops. Results and errors are the same. A call is cancelled while it waits for its
/// turn; what a disk has begun is waited for. Used after its scope it throws `FileError` with
/// `.badFileDescriptor`.
public struct File: Sendable {
    let handle: FileHandle
    let pool: ThreadPool

    /// The path, as it was named.
    public var path: FilePath { handle.path }

    /// Reads up to `count` bytes from a position; fewer come only at the end of the file.
    ///
    /// - Throws: `FileError`, `CancellationError`.
    public func read(at offset: Int, count: Int) async throws -> [UInt8] {
        guard let loop = loopAtHome, offset >= 0, count > 0 else {
            return try await readOnPool(at: offset, count: count)
        }
        return try await read(at: offset, count: count, on: loop)
    }

    /// Writes all the bytes to a position; what lies between the end and there becomes zeros.
    ///
    /// - Throws: `FileError`: when the disk is full a part may have been written;
    ///   `CancellationError`.
    public func write(_ bytes: [UInt8], at offset: Int) async throws {
        if let loop = loopWithRing, offset >= 0, !bytes.isEmpty {
            return try await write(bytes, at: offset, through: loop)
        }
        try await use("write to") { fd throws(Errno) in
            try Self.writeAll(bytes) { part, done throws(Errno) in
                try Files.write(fd, part, at: offset + done)
            }
        }
    }

    /// Writes all the bytes at the end, wherever other writers have moved it.
    ///
    /// One call's bytes stand together as far as the file system takes them at once.
    ///
    /// - Throws: as `write(_:at:)`.
    public func append(_ bytes: [UInt8]) async throws {
        if let loop = loopWithRing, !bytes.isEmpty {
            return try await append(bytes, through: loop)
        }
        try await use("append to") { fd throws(Errno) in
            try Self.writeAll(bytes) { part, _ throws(Errno) in try Files.append(fd, part) }
        }
    }

    /// Waits until what was written is on the disk, as far as the disk says so: `fsync`.
    ///
    /// - Throws: `FileError`: after one, what was written before may be lost; `CancellationError`.
    public func sync() async throws {
        if let loop = loopWithRing {
            return try await perform("sync") {
                _ = try await FileOperation(handle, on: loop).perform(.sync)
            }
        }
        try await use("sync") { fd throws(Errno) in try Files.sync(fd) }
    }

    /// What the file is now.
    ///
    /// - Throws: `FileError`, `CancellationError`.
    public func status() async throws -> FileStatus {
        try await use("ask about") { fd throws(Errno) in FileStatus(try Files.status(of: fd)) }
    }

    /// The file from its begin to its end, in pieces.
    ///
    /// The next piece is read when it is asked for; the last one is shorter, and none is empty.
    public func chunks(byteCount: Int = 65_536) -> FileChunks {
        FileChunks(file: self, byteCount: max(1, byteCount))
    }

    func readOnPool(at offset: Int, count: Int) async throws -> [UInt8] {
        try await use("read from") { fd throws(Errno) in
            try Self.readAll(fd, at: offset, count: count)
        }
    }

    private func use<Value: Sendable>(
        _ operation: String,
        _ body: @escaping @Sendable (Int32) throws(Errno) -> Value
    ) async throws -> Value {
        let handle = handle
        return try await pool.run(name: "\(operation) \(path)") {
            try Self.call(operation, handle.path) { () throws(Errno) in
                try handle.withDescriptor(body)
            }
        }
    }

    static func call<Value>(
        _ operation: String,
        _ path: FilePath,
        _ body: () throws(Errno) -> Value
    ) throws -> Value {
        do throws(Errno) { return try body() } catch {
            throw FileError(operation, path, error)
        }
    }

    static func pool() throws(RuntimeError) -> ThreadPool {
        guard let runtime = Runtime.current else { throw RuntimeError(.noRuntime) }
        return runtime.blocking
    }

    // MARK: On a thread of the pool

    static func readAll(_ fd: Int32, at offset: Int, count: Int) throws(Errno) -> [UInt8] {
        guard offset >= 0, count >= 0 else { throw .invalidArgument }
        // A file may be shorter than what was asked for: it says what is worth allocating.
        let size = try Files.status(of: fd).byteCount
        var bytes = [UInt8](repeating: 0, count: min(count, max(size - offset, 16_384)))
        var filled = 0
        while filled < count {
            if filled == bytes.count {
                let more = min(count - filled, bytes.count)
                bytes += [UInt8](repeating: 0, count: more)
            }
            let (begin, end) = (filled, bytes.count)
            let read = bytes.withUnsafeMutableBytes { buffer in
                Result { () throws(Errno) in
                    let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[begin..<end])
                    return try Files.read(fd, into: rest, at: offset + begin)
                }
            }
            let readCount = try read.get()
            guard readCount > 0 else { break }
            filled += readCount
        }
        bytes.removeLast(bytes.count - filled)
        return bytes
    }

    static func writeAll(
        _ bytes: [UInt8],
        _ write: (UnsafeRawBufferPointer, _ done: Int) throws(Errno) -> Int
    ) throws(Errno) {
        let result = bytes.withUnsafeBytes { buffer in
            Result { () throws(Errno) in
                var done = 0
                while done < buffer.count {
                    done += try write(UnsafeRawBufferPointer(rebasing: buffer[done...]), done)
                }
            }
        }
        try result.get()
    }
}
