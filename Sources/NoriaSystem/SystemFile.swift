// SPDX-License-Identifier: Apache-2.0
internal import CNoria
internal import Glibc
package import SystemPackage

/// Small files: those by which the kernel tells of itself (/proc, /sys), and reports of ours.
package enum SystemFile {
    /// What is read of a file at most: 4 MiB, more than the mount table of a full machine.
    package static let byteCountLimit = 4 << 20

    /// The file's whole text; bytes that are no UTF-8 are replaced.
    package static func text(of path: String) throws(Errno) -> String {
        String(decoding: try bytes(of: path), as: UTF8.self)
    }

    /// What the file holds, up to the limit or a little more.
    package static func bytes(
        of path: String,
        limit: Int = byteCountLimit
    ) throws(Errno) -> [UInt8] {
        // O_NONBLOCK: a pipe that stands there is nothing to wait for.
        let fd = try check(open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC))
        defer { Descriptor.close(fd) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while bytes.count < limit {
            let count = read(fd, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw Errno(rawValue: errno) }
            guard count > 0 else { break }
            bytes += buffer[..<count]
        }
        return bytes
    }

    /// O_PATH, which the module of the C library leaves out; it has one value on our processors.
    private static let pathOnly: Int32 = 0o10_000_000

    /// What the link of a descriptor says that `Descriptor.memory` has made.
    package static func memoryLink(_ name: String) -> String { "/memfd:\(name) (deleted)" }

    /// What a memory of that name holds, to which the descriptor of a process leads.
    ///
    /// The descriptor may lead elsewhere by now, and to open a stranger's device or pipe is to do
    /// something: so it is only held until it is known.
    ///
    /// - Throws: ENXIO, when it is none.
    package static func bytes(ofMemory name: String, at path: String) throws(Errno) -> [UInt8] {
        let held = try check(open(path, pathOnly | O_CLOEXEC))
        defer { Descriptor.close(held) }
        let own = "/proc/self/fd/\(held)"
        var about = stat()
        _ = try check(fstat(held, &about))
        guard about.st_mode & S_IFMT == S_IFREG, try link(at: own) == memoryLink(name) else {
            throw Errno(rawValue: ENXIO)
        }
        return try bytes(of: own)
    }

    /// What a symbolic link says, which in /proc need not be a path.
    package static func link(at path: String) throws(Errno) -> String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink(path, &buffer, buffer.count)
        guard count >= 0 else { throw Errno(rawValue: errno) }
        return String(decoding: buffer[..<count].lazy.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// Whether a process of that number is there, though /proc may hide it: nothing is sent to it.
    package static func isProcess(_ processID: Int32) -> Bool {
        kill(processID, 0) == 0 || errno == EPERM
    }

    /// The user that this program acts as.
    package static var userID: UInt32 { geteuid() }

    /// Whether a part of a file holds these bytes; what can't be read holds none.
    package static func contains(_ text: StaticString, in fd: Int32, _ part: Range<Int>) -> Bool {
        let length = text.utf8CodeUnitCount
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        var offset = part.lowerBound
        while part.upperBound - offset >= length {
            let wanted = min(buffer.count, part.upperBound - offset)
            let count = pread(fd, &buffer, wanted, off_t(offset))
            guard count >= length else { return false }
            if noria_holds(buffer, count, text.utf8Start, length) != 0 { return true }
            // What two pieces share is looked at twice.
            offset += count - length + 1
        }
        return false
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
