// SPDX-License-Identifier: Apache-2.0
import Glibc

/// A client that blocks, on whatever thread calls: the opposite of what it tests.
package final class BlockingClient: @unchecked Sendable {
    package struct Failure: Error, CustomStringConvertible, Equatable {
        package let operation: String
        package let errno: Int32
        package var description: String { "\(operation): \(String(cString: strerror(errno)))" }
    }

    // SAFETY (`@unchecked Sendable`): one thread at a time uses a client; tests see to it.
    private var fd: Int32

    /// Connects to 127.0.0.1, or to ::1.
    ///
    /// Every call gives up after ten seconds, with EAGAIN.
    package init(port: Int, isIPv6: Bool = false, receiveBuffer: Int? = nil) throws {
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        fd = socket(isIPv6 ? AF_INET6 : AF_INET, kind, 0)
        limitCalls()
        if var receiveBuffer = receiveBuffer.map(Int32.init) {
            setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receiveBuffer, 4)
        }
        guard Self.reach(fd, port, isIPv6) == 0 else {
            let error = errno
            Glibc.close(fd)
            fd = -1
            throw Failure(operation: "connect", errno: error)
        }
    }

    private static func reach(_ fd: Int32, _ port: Int, _ isIPv6: Bool) -> Int32 {
        func connect<Address>(_ address: Address) -> Int32 {
            withUnsafeBytes(of: address) { bytes in
                let start = bytes.bindMemory(to: sockaddr.self).baseAddress
                return Glibc.connect(fd, start, socklen_t(bytes.count))
            }
        }
        guard isIPv6 else {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = in_port_t(port).bigEndian
            address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            return connect(address)
        }
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_port = in_port_t(port).bigEndian
        address.sin6_addr = in6addr_loopback
        return connect(address)
    }

    /// Connects to a Unix socket: a path, or `@name` for an abstract one.
    package init(unix name: String) throws {
        fd = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        limitCalls()
        guard UnixName.apply(name, connect, to: fd) == 0 else {
            let error = errno
            Glibc.close(fd)
            fd = -1
            throw Failure(operation: "connect", errno: error)
        }
    }

    /// The other end of a connection that a listener took.
    package init(adopting fd: Int32) {
        self.fd = fd
        limitCalls()
    }

    private func limitCalls() {
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, size)
    }

    deinit { close() }

    package func send(_ bytes: [UInt8]) throws {
        var offset = 0
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(
                    fd,
                    $0.baseAddress?.advanced(by: offset),
                    $0.count - offset,
                    Int32(MSG_NOSIGNAL)
                )
            }
            guard count > 0 else { throw Failure(operation: "send", errno: errno) }
            offset += count
        }
    }

    /// One chunk, empty at the end.
    package func receive(atMost limit: Int = 65_536) throws -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: limit)
        let count = recv(fd, &buffer, limit, 0)
        guard count >= 0 else { throw Failure(operation: "receive", errno: errno) }
        return Array(buffer[..<count])
    }

    /// `count` bytes, or fewer when the stream ends before.
    package func receive(exactly count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let chunk = try receive(atMost: count - bytes.count)
            if chunk.isEmpty { break }
            bytes += chunk
        }
        return bytes
    }

    /// Everything up to the end.
    package func receiveAll() throws -> [UInt8] {
        var bytes: [UInt8] = []
        while true {
            let chunk = try receive()
            if chunk.isEmpty { return bytes }
            bytes += chunk
        }
    }

    /// Whether bytes, the end or an error come within a time: a look, not a wait for them.
    package func isReadable(within milliseconds: Int32) -> Bool {
        var descriptor = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
        return poll(&descriptor, 1, milliseconds) > 0
    }

    /// The kernel drops whatever comes for this socket from now on, without a word: the server's
    /// peer is gone as behind a cut cable, and acknowledges nothing.
    package func vanish() throws {
        // One instruction, BPF_RET with 0: keep no byte of a packet.
        var program: UInt64 = 0x06
        let result = withUnsafeMutablePointer(to: &program) { program in
            var filter = (count: UInt16(1), program: program)
            return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, 16)
        }
        guard result == 0 else { throw Failure(operation: "attach a filter", errno: errno) }
    }

    package func endSending() { shutdown(fd, Int32(SHUT_WR)) }

    /// A reset instead of an end.
    package func abort() {
        var linger = Glibc.linger(l_onoff: 1, l_linger: 0)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<linger>.size))
        close()
    }

    package func close() {
        if fd >= 0 { Glibc.close(fd) }
        fd = -1
    }
}

/// Runs closures on plain threads and waits for all of them.
package enum PlainThreads {
    package static func run(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
        var threads: [pthread_t] = []
        for index in 0..<count {
            var thread = pthread_t()
            let box = Unmanaged.passRetained(Box { body(index) })
            pthread_create(
                &thread,
                nil,
                {
                    if let box = $0 { Unmanaged<Box>.fromOpaque(box).takeRetainedValue().body() }
                    return nil
                },
                box.toOpaque()
            )
            threads.append(thread)
        }
        for thread in threads { pthread_join(thread, nil) }
    }

    private final class Box {
        let body: () -> Void
        init(_ body: @escaping () -> Void) { self.body = body }
    }
}

extension BlockingClient {
    /// Sends what fits within a tenth of a second: how many bytes.
    package func sendWithoutWaiting(_ bytes: [UInt8]) throws -> Int {
        var descriptor = pollfd(fd: fd, events: Int16(POLLOUT), revents: 0)
        guard poll(&descriptor, 1, 100) == 1, descriptor.revents & Int16(POLLOUT) != 0 else {
            return 0
        }
        let count = bytes.withUnsafeBytes {
            Glibc.send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
        }
        return max(0, count)
    }
}

extension BlockingClient {
    /// Sends bytes with a descriptor beside them (SCM_RIGHTS), over a Unix socket.
    package func send(_ bytes: [UInt8], withDescriptor descriptor: Int32) throws {
        // cmsghdr: its length, a level and a type, then the descriptor; 8 bytes are a unit.
        var control: [UInt32] = [20, 0, UInt32(SOL_SOCKET), 1, UInt32(descriptor), 0]
        var bytes = bytes
        let count = bytes.withUnsafeMutableBytes { bytes in
            control.withUnsafeMutableBytes { control in
                var piece = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
                return withUnsafeMutablePointer(to: &piece) { piece in
                    var message = msghdr()
                    message.msg_iov = piece
                    message.msg_iovlen = 1
                    message.msg_control = control.baseAddress
                    message.msg_controllen = control.count
                    return sendmsg(fd, &message, Int32(MSG_NOSIGNAL))
                }
            }
        }
        guard count == bytes.count else { throw Failure(operation: "sendmsg", errno: errno) }
    }
}
