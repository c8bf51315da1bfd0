// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
public import SystemPackage

/// What is done with paths, without a file that stays open; each is one job of ``Runtime/blocking``.
extension File {
    /// The whole of a file, which must not have more than `limit` bytes.
    ///
    /// Files of /proc, which don't know their length, are read to their end.
    ///
    /// - Throws: `FileError`, `.fileTooLarge` when there is more; `RuntimeError`,
    ///   `CancellationError`.
    public static func read(_ path: FilePath, limit: Int) async throws -> [UInt8] {
        try await job("read", path) { () throws(Errno) in
            let fd = try Files.open(
                path,
                flags: FileDescriptor.AccessMode.readOnly.rawValue,
                permissions: []
            )
            defer { Descriptor.close(fd) }
            let bytes = try readAll(fd, at: 0, count: max(0, limit).addingOne)
            guard bytes.count <= limit else { throw .fileTooLarge }
            return bytes
        }
    }

    /// Makes a file of these bytes, in the place of what it held before.
    ///
    /// When the disk is full the file holds a part of it. Readers that must see the old or the new,
    /// and never a part, want a file beside it that is written, synced and renamed.
    ///
    /// - Throws: `FileError`, `RuntimeError`, `CancellationError`.
    public static func write(
        _ bytes: [UInt8],
        to path: FilePath,
        permissions: FilePermissions = [.ownerReadWrite, .groupRead, .otherRead]
    ) async throws {
        let options: FileDescriptor.OpenOptions = [.create, .truncate]
        let flags = FileDescriptor.AccessMode.writeOnly.rawValue | options.rawValue
        try await job("write", path) { () throws(Errno) in
            let fd = try Files.open(path, flags: flags, permissions: permissions)
            defer { Descriptor.close(fd) }
            try writeAll(bytes) { part, done throws(Errno) in
                try Files.write(fd, part, at: done)
            }
        }
    }

    /// Gives a file another name, in the place of what stood there, at once.
    ///
    /// - Throws: `FileError`, `RuntimeError`, `CancellationError`.
    public static func rename(_ path: FilePath, to other: FilePath) async throws {
        try await job("rename to \(other)", path) { () throws(Errno) in
            try Files.rename(path, to: other)
        }
    }

    /// Removes a file, or a link, and no directory.
    ///
    /// - Throws: `FileError`, `RuntimeError`, `CancellationError`.
    public static func remove(_ path: FilePath) async throws {
        try await job("remove", path) { () throws(Errno) in try Files.remove(path) }
    }

    /// What stands at a path, links followed.
    ///
    /// - Throws: `FileError`, `RuntimeError`, `CancellationError`.
    public static func status(of path: FilePath) async throws -> FileStatus {
        try await job("ask about", path) { () throws(Errno) in
            FileStatus(try Files.status(of: path))
        }
    }

    /// The names in a directory, sorted, without `.` and `..`.
    ///
    /// - Throws: `FileError`, `RuntimeError`, `CancellationError`.
    public static func entries(of path: FilePath) async throws -> [String] {
        try await job("list", path) { () throws(Errno) in
            try Files.entries(of: path).sorted()
        }
    }

    private static func job<Value: Sendable>(
        _ operation: String,
        _ path: FilePath,
        _ body: @escaping @Sendable () throws(Errno) -> Value
    ) async throws -> Value {
        try await pool().run(name: "\(operation) \(path)") { try call(operation, path, body) }
    }
}

extension Int {
    /// One more, or the largest there is.
    fileprivate var addingOne: Int { self == .max ? self : self + 1 }
}

/// What a file is.
public struct FileStatus: Sendable, Hashable {
    /// The kinds of things at a path.
    @nonexhaustive
    public enum Kind: String, Sendable, Hashable {
        /// A file with bytes.
        case regular
        /// A directory.
        case directory
        /// A link that leads nowhere else.
        case symbolicLink
        /// A socket, a pipe, a device.
        case other
    }

    /// What it is.
    public let kind: Kind
    /// Its length in bytes.
    public let byteCount: Int
    /// Who may do what.
    public let permissions: FilePermissions
    /// When its bytes were last changed, since the begin of 1970.
    public let modified: Duration

    init(_ status: Files.Status) {
        kind =
            switch status.mode & 0o170_000 {
            case 0o100_000: .regular
            case 0o040_000: .directory
            case 0o120_000: .symbolicLink
            default: .other
            }
        byteCount = status.byteCount
        permissions = FilePermissions(rawValue: status.mode & 0o7777)
        modified =
            .seconds(status.modifiedSeconds) + .nanoseconds(status.modifiedNanoseconds)
    }
}
