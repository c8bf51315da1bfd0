// SPDX-License-Identifier: Apache-2.0
internal import CNoria
internal import Glibc
package import SystemPackage

/// What stands in the file system at the path of a Unix address, as it was when it was looked at.
package struct SocketFile: Equatable, Sendable {
    package enum Kind: String, Sendable {
        case socket
        case directory = "a directory"
        case file = "a regular file"
        case symbolicLink = "a symbolic link"
        case other = "something else"
    }

    package let kind: Kind
    package let permissions: FilePermissions
    private let device: UInt
    private let inode: UInt
    /// A file system may give the number of a removed file to the next: this is another then.
    private let changedAt: [Int]

    /// Whether both are one file, whose mode may have changed, while somebody holds that file.
    package func isSame(as other: Self) -> Bool {
        device == other.device && inode == other.inode
    }

    /// Looks at a path, and follows no link.
    package static func find(_ address: SocketStorage) throws(Errno) -> SocketFile {
        var status = stat()
        _ = try check(address.withUnixPath { lstat($0, &status) })
        return SocketFile(
            kind: Kind(status.st_mode),
            permissions: FilePermissions(rawValue: status.st_mode & 0o7777),
            device: status.st_dev,
            inode: status.st_ino,
            changedAt: [status.st_ctim.tv_sec, status.st_ctim.tv_nsec]
        )
    }

    package static func remove(_ address: SocketStorage) throws(Errno) {
        _ = try check(address.withUnixPath { unlink($0) })
    }

    /// Limits the mode that a socket's path will have when it is bound; the umask takes more away.
    ///
    /// Linux gives the path the mode of the socket's own inode: unix_bind_bsd in net/unix/af_unix.c.
    package static func limitPermissions(
        of fd: Int32,
        to permissions: FilePermissions
    ) throws(Errno) {
        _ = try check(fchmod(fd, permissions.rawValue))
    }

    /// Sets the mode of a path, and follows no link.
    package static func setPermissions(
        _ permissions: FilePermissions,
        at address: SocketStorage
    ) throws(Errno) {
        _ = try check(
            address.withUnixPath {
                fchmodat(AT_FDCWD, $0, permissions.rawValue, AT_SYMLINK_NOFOLLOW)
            }
        )
    }
}

extension SocketFile.Kind {
    init(_ mode: mode_t) {
        self =
            switch mode & S_IFMT {
            case S_IFSOCK: .socket
            case S_IFDIR: .directory
            case S_IFREG: .file
            case S_IFLNK: .symbolicLink
            default: .other
            }
    }
}
