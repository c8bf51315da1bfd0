// SPDX-License-Identifier: Apache-2.0
internal import CNoria
internal import Glibc
package import SystemPackage

/// The calls on files that block, each as it is; EINTR is tried again.
package enum Files {
    /// What stands at a path, or behind a descriptor.
    package struct Status: Sendable, Equatable {
        package let mode: UInt32
        package let byteCount: Int
        /// Since 1970.
        package let modifiedSeconds: Int
        package let modifiedNanoseconds: Int

        fileprivate init(_ status: stat) {
            mode = status.st_mode
            byteCount = Int(status.st_size)
            modifiedSeconds = status.st_mtim.tv_sec
            modifiedNanoseconds = status.st_mtim.tv_nsec
        }
    }

    /// Opens with O_CLOEXEC and O_NOCTTY; what makes the file takes `permissions`, less the umask.
    package static func open(
        _ path: FilePath,
        flags: Int32,
        permissions: FilePermissions
    ) throws(Errno) -> Int32 {
        let flags = flags | O_CLOEXEC | O_NOCTTY
        return try retry {
            path.withPlatformString { Glibc.open($0, flags, permissions.rawValue) }
        }
    }

    /// Reads into the memory from a position of the file; 0 at the end.
    package static func read(
        _ fd: Int32,
        into bytes: UnsafeMutableRawBufferPointer,
        at offset: Int
    ) throws(Errno) -> Int {
        try retryLong { pread(fd, bytes.baseAddress, bytes.count, off_t(offset)) }
    }

    /// Reads what lies in the kernel's memory, never waits: the count, or a negative error.
    ///
    /// -EAGAIN when the first byte does not lie there, -EOPNOTSUPP where the file system can't
    /// tell. Kernels are known that answer 0 although there is more, so it is no proof of the end.
    package static func readNow(
        _ fd: Int32,
        into bytes: UnsafeMutableRawPointer,
        count: Int,
        at offset: Int
    ) -> Int {
        noria_read_now(fd, bytes, count, off_t(offset))
    }

    /// The length of a file as this machine knows it, without waiting for a server; nil if it
    /// can't tell, or knows it as 0, as files of /proc do that have more.
    package static func knownByteCount(_ fd: Int32) -> Int? {
        let count = noria_known_byte_count(fd)
        return count > 0 ? count : nil
    }

    /// Whether it is a regular file that is read through the kernel's memory, and not past it
    /// (O_DIRECT): only of such a one can be told whether a read would wait.
    package static func isBuffered(_ fd: Int32) -> Bool { noria_is_buffered(fd) != 0 }

    /// Whether the first and the last byte of a part lie in the kernel's memory.
    package static func isCached(_ fd: Int32, at offset: Int, count: Int) -> Bool {
        var byte: UInt8 = 0
        return readNow(fd, into: &byte, count: 1, at: offset) == 1
            && readNow(fd, into: &byte, count: 1, at: offset + count - 1) == 1
    }

    /// Writes to a position of the file; how many bytes that were.
    package static func write(
        _ fd: Int32,
        _ bytes: UnsafeRawBufferPointer,
        at offset: Int
    ) throws(Errno) -> Int {
        try retryLong { pwrite(fd, bytes.baseAddress, bytes.count, off_t(offset)) }
    }

    /// Writes at the end of the file, wherever others have moved it.
    package static func append(
        _ fd: Int32,
        _ bytes: UnsafeRawBufferPointer
    ) throws(Errno) -> Int {
        try retryLong { noria_append(fd, bytes.baseAddress, bytes.count) }
    }

    package static func sync(_ fd: Int32) throws(Errno) { _ = try retry { fsync(fd) } }

    package static func status(of fd: Int32) throws(Errno) -> Status {
        var status = stat()
        _ = try retry { fstat(fd, &status) }
        return Status(status)
    }

    /// Follows links.
    package static func status(of path: FilePath) throws(Errno) -> Status {
        var status = stat()
        _ = try retry { path.withPlatformString { stat($0, &status) } }
        return Status(status)
    }

    package static func rename(_ path: FilePath, to other: FilePath) throws(Errno) {
        _ = try retry {
            path.withPlatformString { from in
                other.withPlatformString { to in Glibc.rename(from, to) }
            }
        }
    }

    package static func remove(_ path: FilePath) throws(Errno) {
        _ = try retry { path.withPlatformString { unlink($0) } }
    }

    /// The names in a directory, without `.` and `..`, in the order of the file system.
    package static func entries(of path: FilePath) throws(Errno) -> [String] {
        guard let folder = path.withPlatformString({ opendir($0) }) else {
            throw Errno(rawValue: errno)
        }
        defer { closedir(folder) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(folder) else {
                guard errno == 0 else { throw Errno(rawValue: errno) }
                return names
            }
            // SAFETY: the C library ends the name with a zero byte, within the entry.
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
    }

    private static func retry(_ call: () -> Int32) throws(Errno) -> Int32 {
        while true {
            let result = call()
            if result >= 0 { return result }
            guard errno == EINTR else { throw Errno(rawValue: errno) }
        }
    }

    private static func retryLong(_ call: () -> Int) throws(Errno) -> Int {
        while true {
            let result = call()
            if result >= 0 { return result }
            guard errno == EINTR else { throw Errno(rawValue: errno) }
        }
    }
}
