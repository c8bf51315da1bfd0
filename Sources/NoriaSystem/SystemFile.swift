// SPDX-License-Identifier: Apache-2.0
internal import Glibc
package import SystemPackage

/// The small files by which the kernel tells of itself: /proc, /sys.
package enum SystemFile {
    /// What is read of a file at most: 4 MiB, more than the mount table of a full machine.
    package static let byteCountLimit = 4 << 20

    /// The file's whole text; bytes that are no UTF-8 are replaced.
    package static func text(of path: String) throws(Errno) -> String {
        let fd = try check(open(path, O_RDONLY | O_CLOEXEC))
        defer { Descriptor.close(fd) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while bytes.count < byteCountLimit {
            let count = read(fd, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw Errno(rawValue: errno) }
            guard count > 0 else { break }
            bytes += buffer[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Whether something stands there, whatever may be done with it.
    package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }
}
