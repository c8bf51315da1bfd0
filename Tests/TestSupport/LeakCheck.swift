// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// What a process holds: its open descriptors, each by what it is, and the number of its threads.
///
/// Two of them are compared by what they hold, not by descriptor numbers, which are used again.
package struct LeakCheck: Equatable, CustomStringConvertible {
    /// `socket`, `anon_inode:[eventpoll]`, a path: sorted.
    package let descriptors: [String]
    package let threadCount: Int

    package init(of pid: Int32) {
        let folder = "/proc/\(pid)/fd"
        descriptors = Self.entries(of: folder).compactMap { Self.target(of: "\(folder)/\($0)") }
            .sorted()
        threadCount = Self.entries(of: "/proc/\(pid)/task").count
    }

    package var description: String {
        "\(threadCount) threads, \(descriptors.count) descriptors: "
            + descriptors.joined(separator: " ")
    }

    /// Waits until `pid`, another process, holds again what it held at `self`.
    package func waitUntilRestored(in pid: Int32) throws {
        try Waiting.until(
            "the process to hold again: \(self)",
            { LeakCheck(of: pid) == self },
            seen: { "\(LeakCheck(of: pid))" }
        )
    }

    /// Waits until `pid`, another process, has this many sockets.
    package static func waitForSockets(_ count: Int, of pid: Int32) throws {
        try Waiting.until(
            "\(count) sockets",
            { LeakCheck(of: pid).descriptors.count { $0 == "socket" } == count },
            seen: { "\(LeakCheck(of: pid))" }
        )
    }

    /// What stands in a file of /proc.
    package static func text(of path: String) throws -> String {
        let fd = open(path, O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { throw ChildProcess.Failure("can't read \(path)") }
        defer { close(fd) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while case let count = read(fd, &buffer, buffer.count), count > 0 {
            bytes += buffer[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    package static func entries(of path: String) -> [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    private static func target(of link: String) -> String? {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink(link, &buffer, buffer.count)
        guard count > 0 else { return nil }
        let text = String(decoding: buffer[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
        // `socket:[31415]`: the number says nothing about leaks.
        guard text.hasPrefix("socket:") || text.hasPrefix("pipe:") else { return text }
        return String(text.prefix { $0 != ":" })
    }
}
