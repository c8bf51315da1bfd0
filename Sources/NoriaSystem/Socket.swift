// SPDX-License-Identifier: Apache-2.0
internal import CNoria
internal import Glibc
package import SystemPackage

/// The socket calls, each a thin throwing function on a bare descriptor.
///
/// What runs once for every byte (`receive`, `send`, `accept`) returns the kernel's own number
/// instead: a count, or an error made negative, the same as a ring's completion.
package enum Socket {
    /// A non-blocking, close-on-exec TCP socket.
    package static func stream(isIPv6: Bool) throws(Errno) -> Int32 {
        try stream(isIPv6 ? AF_INET6 : AF_INET)
    }

    /// A non-blocking, close-on-exec stream socket for an address of its kind.
    package static func stream(for address: SocketStorage) throws(Errno) -> Int32 {
        try stream(Int32(address.family))
    }

    private static func stream(_ family: Int32) throws(Errno) -> Int32 {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        return try check(socket(family, kind, 0))
    }

    /// Two connected, non-blocking sockets of this machine.
    package static func pair() throws(Errno) -> (Int32, Int32) {
        let kind = Int32(
            SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue
        )
        var ends: (Int32, Int32) = (-1, -1)
        // SAFETY: a pair of 32-bit numbers is laid out as the array of two that the call fills.
        let result = withUnsafeMutableBytes(of: &ends) {
            socketpair(AF_UNIX, kind, 0, $0.bindMemory(to: Int32.self).baseAddress)
        }
        _ = try check(result)
        return ends
    }

    package static func bind(_ fd: Int32, to address: SocketStorage) throws(Errno) {
        // SAFETY: the bytes are a socket address of the given length.
        _ = try check(
            address.withBytes { bytes, byteCount in
                Glibc.bind(fd, bytes.assumingMemoryBound(to: sockaddr.self), byteCount)
            }
        )
    }

    package static func listen(_ fd: Int32, backlog: Int) throws(Errno) {
        _ = try check(Glibc.listen(fd, Int32(clamping: backlog)))
    }

    package static func localAddress(of fd: Int32) throws(Errno) -> SocketStorage {
        try address { getsockname(fd, $0, $1) }
    }

    package static func peerAddress(of fd: Int32) throws(Errno) -> SocketStorage {
        try address { getpeername(fd, $0, $1) }
    }

    private static func address(
        _ ask: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
    ) throws(Errno) -> SocketStorage {
        var storage = SocketStorage()
        // SAFETY: the storage is large enough for each kind, and the kernel cuts what is not.
        let result = storage.withMutableBytes { bytes, byteCount in
            ask(bytes.assumingMemoryBound(to: sockaddr.self), &byteCount)
        }
        _ = try check(result)
        return storage
    }

    package enum Option: Sendable {
        case reuseAddress
        case reusePort
        case keepAlive
        case noDelay
        case receiveBuffer
        case sendBuffer
        case ipv6Only
        /// Closing with a reset: seconds of lingering, 0 for at once.
        case linger

        fileprivate var name: (level: Int32, option: Int32) {
            switch self {
            case .reuseAddress: (SOL_SOCKET, SO_REUSEADDR)
            case .reusePort: (SOL_SOCKET, SO_REUSEPORT)
            case .keepAlive: (SOL_SOCKET, SO_KEEPALIVE)
            case .noDelay: (Int32(IPPROTO_TCP), TCP_NODELAY)
            case .receiveBuffer: (SOL_SOCKET, SO_RCVBUF)
            case .sendBuffer: (SOL_SOCKET, SO_SNDBUF)
            case .ipv6Only: (Int32(IPPROTO_IPV6), IPV6_V6ONLY)
            case .linger: (SOL_SOCKET, SO_LINGER)
            }
        }
    }

    package static func set(_ option: Option, to value: Int, on fd: Int32) throws(Errno) {
        let (level, name) = option.name
        if case .linger = option {
            var linger = Glibc.linger(l_onoff: 1, l_linger: Int32(clamping: value))
            _ = try check(
                setsockopt(fd, level, name, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
            )
            return
        }
        var number = Int32(clamping: value)
        _ = try check(setsockopt(fd, level, name, &number, socklen_t(MemoryLayout<Int32>.size)))
    }

    /// Sets an option that is none of ours, in the kernel's own form.
    package static func set(
        level: Int32,
        option: Int32,
        to value: UnsafeRawBufferPointer,
        on fd: Int32
    ) throws(Errno) {
        _ = try check(
            setsockopt(fd, level, option, value.baseAddress, socklen_t(value.count))
        )
    }

    /// Reads one into memory that is large enough; what the kernel does not fill stays.
    package static func get(
        level: Int32,
        option: Int32,
        into value: UnsafeMutableRawBufferPointer,
        of fd: Int32
    ) throws(Errno) {
        var count = socklen_t(value.count)
        _ = try check(getsockopt(fd, level, option, value.baseAddress, &count))
    }

    /// Ends the sending direction: the peer reads the end after what was sent.
    package static func shutDownWriting(_ fd: Int32) throws(Errno) {
        _ = try check(shutdown(fd, Int32(SHUT_WR)))
    }

    /// Ends both directions, now.
    package static func shutDown(_ fd: Int32) throws(Errno) {
        _ = try check(shutdown(fd, Int32(SHUT_RDWR)))
    }

    /// Has a Unix listener refuse whoever connects from now on; its queue can still be accepted.
    ///
    /// Both take the listener's lock: a connect is in the queue before this returns, or refused.
    package static func shutDownReading(_ fd: Int32) throws(Errno) {
        _ = try check(shutdown(fd, Int32(SHUT_RD)))
    }

    /// Who is at the other end of a Unix socket: who connected, or who listens there.
    package static func peerCredentials(
        of fd: Int32
    ) throws(Errno) -> (processID: Int32, userID: UInt32, groupID: UInt32) {
        var credentials = noria_credentials()
        _ = try check(Int(noria_peer_credentials(fd, &credentials)))
        return (credentials.process, credentials.user, credentials.group)
    }

    /// Ends a TCP connection with a reset, now; the descriptor stays open.
    package static func reset(_ fd: Int32) throws(Errno) {
        _ = try check(Int(noria_reset_connection(fd)))
    }

    /// Lets no new connection in; handshakes under way still complete.
    ///
    /// DESIGN §6.
    package static func refuseNewConnections(_ fd: Int32) throws(Errno) {
        _ = try check(noria_refuse_new_connections(fd))
    }

    /// What waits in the receive queue.
    ///
    /// Zero at the end of the stream, too.
    package static func readableByteCount(of fd: Int32) throws(Errno) -> Int {
        try check(noria_readable_byte_count(fd))
    }

    package static func takeError(of fd: Int32) -> Errno? {
        let error = noria_take_socket_error(fd)
        return error == 0 ? nil : Errno(rawValue: error)
    }

    /// Reads what is there, never waits: the count, 0 at the end, or a negative error.
    package static func receive(
        _ fd: Int32,
        into bytes: UnsafeMutableRawPointer,
        count: Int
    ) -> Int {
        noria_recv(fd, bytes, count, Int32(MSG_DONTWAIT))
    }

    /// Sends what fits, never waits, never raises SIGPIPE: the count, or a negative error.
    package static func send(_ fd: Int32, _ bytes: UnsafeRawPointer, count: Int) -> Int {
        noria_send(fd, bytes, count)
    }

    /// The same of several pieces of memory: `SendParts.header`.
    package static func send(_ fd: Int32, message: UnsafeRawPointer) -> Int {
        noria_send_message(fd, message.assumingMemoryBound(to: msghdr.self))
    }

    /// Sends a part of a file, as much as fits, never raises SIGPIPE: the count, or a negative error.
    ///
    /// 0 at the file's end. It waits for the disk where the file does not lie in memory.
    package static func send(_ fd: Int32, file: Int32, at offset: Int, count: Int) -> Int {
        noria_send_file(fd, file, off_t(offset), count)
    }

    /// Takes a connection from the queue: a non-blocking descriptor, or a negative error.
    package static func accept(_ fd: Int32) -> Int { noria_accept(fd) }

    /// Begins to connect: 0, or a negative error, -EINPROGRESS in the common case.
    package static func connect(_ fd: Int32, to address: SocketStorage) -> Int {
        address.withBytes { bytes, byteCount in noria_connect(fd, bytes, byteCount) }
    }
}
