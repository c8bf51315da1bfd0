// SPDX-License-Identifier: Apache-2.0
import Glibc
import NoriaEngine
import NoriaSystem
import SystemPackage
import Testing

/// The other side of a connection under test.
protocol FarEnd: AnyObject {
    func send(_ bytes: [UInt8])
    func receive(exactly count: Int) -> [UInt8]
    func shutDownWriting()
    func close()
    /// Closes with a reset.
    func reset()
}

/// A blocking socket, closed at the latest with the object.
final class BlockingFarEnd: FarEnd {
    private(set) var fd: Int32

    init(_ fd: Int32) { self.fd = fd }
    deinit { close() }

    func send(_ bytes: [UInt8]) { Sockets.sendAll(fd, bytes) }
    func receive(exactly count: Int) -> [UInt8] { Sockets.receive(fd, exactly: count) }
    func shutDownWriting() { try? Socket.shutDownWriting(fd) }

    func close() {
        if fd >= 0 { Descriptor.close(fd) }
        fd = -1
    }

    func reset() {
        try? Socket.set(.linger, to: 0, on: fd)
        close()
    }
}

final class SimulatedFarEnd: FarEnd {
    private let kernel: SimulatedKernel
    private let fd: Int32
    private var isOpen = true

    init(_ kernel: SimulatedKernel, _ fd: Int32) { (self.kernel, self.fd) = (kernel, fd) }
    deinit { close() }

    func send(_ bytes: [UInt8]) { #expect(kernel.send(fd, bytes) == bytes.count) }
    func receive(exactly count: Int) -> [UInt8] {
        (try? kernel.receive(fd, count: count)) ?? []
    }
    func shutDownWriting() { kernel.shutDownWriting(fd) }

    func close() {
        if isOpen { kernel.close(fd) }
        isOpen = false
    }

    func reset() {
        kernel.abort(fd)
        isOpen = false
    }
}

/// Blocking calls of the peers.
enum Sockets {
    static let loopback = SocketStorage(literal: "127.0.0.1", port: 0)

    /// A listener on a free port of the loopback interface.
    static func listener(backlog: Int = 512) throws -> (fd: Int32, address: SocketStorage) {
        let fd = try Socket.stream(isIPv6: false)
        try Socket.bind(fd, to: try #require(loopback))
        try Socket.listen(fd, backlog: backlog)
        return (fd, try Socket.localAddress(of: fd))
    }

    /// A port of the loopback interface at which nobody listens.
    static func deadAddress() throws -> SocketStorage {
        let (fd, address) = try listener()
        Descriptor.close(fd)
        return address
    }

    /// A blocking, connected socket.
    static func connect(to address: SocketStorage) -> Int32 {
        let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        return Socket.connect(fd, to: address) == 0 ? fd : -1
    }

    /// A TCP connection: the near end does not block, the far end does.
    static func connectedPair() throws -> (near: Int32, far: Int32) {
        let (listener, address) = try listener()
        defer { Descriptor.close(listener) }
        let far = connect(to: address)
        let near = try check(Socket.accept(listener))
        // Small writes must come as they are made.
        try Socket.set(.noDelay, to: 1, on: far)
        try Socket.set(.noDelay, to: 1, on: Int32(near))
        return (Int32(near), far)
    }

    /// Gives this thread a table of descriptors of its own, a copy, which ends with it.
    static func unshareDescriptors() -> Bool {
        // The name is behind _GNU_SOURCE, which the module map of Glibc does not set.
        guard let symbol = dlsym(nil, "unshare") else { return false }
        // SAFETY: unshare(2) takes and returns an int.
        let unshare = unsafeBitCast(symbol, to: (@convention(c) (Int32) -> Int32).self)
        // CLONE_FILES
        return unshare(0x400) == 0
    }

    static func setBlocking(_ fd: Int32) {
        _ = fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK)
    }

    static func sendAll(_ fd: Int32, _ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                Glibc.send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 || (count < 0 && errno == EINTR) else { return }
            rest = rest.dropFirst(max(count, 0))
        }
    }

    /// Less when the end, or an error, came before.
    static func receive(_ fd: Int32, exactly count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: min(max(count, 1), 65_536))
        while bytes.count < count {
            let got = recv(fd, &chunk, min(chunk.count, count - bytes.count), 0)
            guard got > 0 || (got < 0 && errno == EINTR) else { break }
            bytes += chunk.prefix(max(got, 0))
        }
        return bytes
    }

    /// Bytes that show a loss, a swap or a repetition.
    static func pattern(_ count: Int, from start: Int = 0) -> [UInt8] {
        (start..<start + count).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) }
    }
}
