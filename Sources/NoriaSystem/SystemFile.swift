// SPDX-License-Identifier: Apache-2.0
internal import Glibc
package import SystemPackage

/// Small files: those by which the kernel tells of itself (/proc, /sys), and reports of ours.
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

    /// Makes the file hold this text and no more; it need not be there before.
    ///
    /// A pipe that nobody reads is an error, and nothing to wait for.
    package static func write(_ text: String, to path: String) throws(Errno) {
        let fd = try check(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_CLOEXEC, 0o644))
        defer { Descriptor.close(fd) }
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(fd, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw Errno(rawValue: errno) }
            bytes = bytes.dropFirst(count)
        }
    }

    /// Whether something stands there, whatever may be done with it.
    package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }
}
