// SPDX-License-Identifier: Apache-2.0
import Glibc

/// A listener that blocks: the far end of what a program of ours connects to.
package final class BlockingListener: Sendable {
    private let fd: Int32
    /// The port on 127.0.0.1, or 0.
    package let port: Int

    /// Listens on a free port of 127.0.0.1.
    package init() throws {
        fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let fd = fd
        let result = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.bind(fd, $0, size) == 0 && listen(fd, 16) == 0
                    ? getsockname(fd, $0, &size) : -1
            }
        }
        guard result == 0 else { throw BlockingClient.Failure(operation: "listen", errno: errno) }
        port = Int(UInt16(bigEndian: address.sin_port))
        limitAccepts()
    }

    /// Listens on a path, or on `@name`; the kernel queues one connection more than `backlog`.
    package init(unix name: String, backlog: Int32 = 16) throws {
        fd = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        port = 0
        guard Self.bind(fd, to: name) == 0, listen(fd, backlog) == 0 else {
            let error = errno
            close(fd)
            throw BlockingClient.Failure(operation: "listen", errno: error)
        }
        limitAccepts()
    }

    deinit { close(fd) }

    /// Gives a socket of another kind a name.
    package static func bind(_ fd: Int32, to name: String) -> Int32 {
        UnixName.apply(name, Glibc.bind, to: fd)
    }

    private func limitAccepts() {
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    /// The next connection; gives up after ten seconds.
    package func accept() throws -> BlockingClient {
        var connection = Glibc.accept(fd, nil, nil)
        // A call with a time limit is not begun again by the kernel, whatever signal it was.
        while connection < 0, errno == EINTR { connection = Glibc.accept(fd, nil, nil) }
        guard connection >= 0 else {
            throw BlockingClient.Failure(operation: "accept", errno: errno)
        }
        return BlockingClient(adopting: connection)
    }
}

/// The name of a Unix socket for a call that takes an address.
enum UnixName {
    static func apply(
        _ name: String,
        _ call: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Int32,
        to fd: Int32
    ) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = name.hasPrefix("@") ? [0] + Array(name.utf8.dropFirst()) : name.utf8 + [0]
        let offset = MemoryLayout<sockaddr_un>.offset(of: \.sun_path) ?? 2
        withUnsafeMutableBytes(of: &address) { $0[offset...].copyBytes(from: bytes) }
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                call(fd, $0, socklen_t(offset + bytes.count))
            }
        }
    }
}
