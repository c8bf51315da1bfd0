// SPDX-License-Identifier: Apache-2.0
package import SystemPackage

/// Stream sockets in memory, with numbers for descriptors and a clock that nobody waits for.
///
/// It does what a kernel does with a call, never more: the whims are the backend's. Calls answer
/// as ours do, with a count or with an error made negative, and never block.
package final class SimulatedKernel {
    final class Socket {
        var inbound: [UInt8] = []
        /// The peer will send no more.
        var isEnded = false
        var isReset = false
        var hasShutWriting = false
        var isClosed = false
        /// The other side; nil before the connect and after that side has closed.
        weak var peer: Socket?
        /// For a listener: the connections that nobody has accepted yet.
        var queue: [Socket]?
        var port: UInt16 = 0
        /// For an eventfd.
        var counter: Int?
        var wasConnected = false
    }

    /// What one direction holds before a send has to wait.
    package static let socketByteCount = 4096

    /// Virtual nanoseconds since the kernel was made.
    package internal(set) var now: UInt64 = 0
    private var table: [Socket?] = [nil, nil, nil]
    /// Every connection of the past that may still be reset, in the order of their beginning.
    private(set) var connected: [Socket] = []

    package init() {}

    // MARK: Descriptors

    /// The lowest free number, as with a real one: a number comes back soon.
    private func install(_ socket: Socket) -> Int32 {
        let index = table.dropFirst(3).firstIndex { $0 == nil } ?? table.count
        if index == table.count { table.append(socket) } else { table[index] = socket }
        return Int32(index)
    }

    func socket(_ fd: Int32) -> Socket? {
        fd >= 0 && Int(fd) < table.count ? table[Int(fd)] : nil
    }

    package var openCount: Int { table.count { $0 != nil } }

    package func stream() -> Int32 { install(Socket()) }

    package func event() -> Int32 {
        let event = Socket()
        event.counter = 0
        return install(event)
    }

    package func listen(port: UInt16, backlog: Int = 128) -> Int32 {
        let listener = Socket()
        (listener.queue, listener.port) = ([], port)
        return install(listener)
    }

    package func pair() -> (Int32, Int32) {
        let (near, far) = (Socket(), Socket())
        join(near, far)
        return (install(near), install(far))
    }

    private func join(_ near: Socket, _ far: Socket) {
        (near.peer, far.peer) = (far, near)
        (near.wasConnected, far.wasConnected) = (true, true)
        connected.removeAll { $0.isClosed }
        connected.append(near)
    }

    /// Ends both directions; what the peer sent and nobody read resets it, as in TCP.
    package func close(_ fd: Int32) {
        guard let socket = socket(fd) else { return }
        table[Int(fd)] = nil
        socket.isClosed = true
        for waiting in socket.queue ?? [] { waiting.peer.map(reset) }
        if socket.inbound.isEmpty { socket.peer?.isEnded = true } else { socket.peer.map(reset) }
        socket.peer?.peer = nil
    }

    package func shutDownWriting(_ fd: Int32) {
        socket(fd)?.hasShutWriting = true
        socket(fd)?.peer?.isEnded = true
    }

    package func signal(_ fd: Int32) { socket(fd)?.counter? += 1 }

    /// Closes with a reset.
    package func abort(_ fd: Int32) {
        socket(fd)?.peer.map(reset)
        socket(fd)?.inbound = []
        close(fd)
    }

    func reset(_ socket: Socket) {
        socket.isReset = true
        socket.inbound = []
        socket.peer?.peer = nil
        socket.peer = nil
    }

    // MARK: Calls

    func isReadable(_ socket: Socket) -> Bool {
        socket.isReset || socket.isEnded || !socket.inbound.isEmpty || socket.isClosed
            || socket.queue?.isEmpty == false || (socket.counter ?? 0) > 0
    }

    func accept(_ listener: Socket) -> Int {
        guard !listener.isClosed else { return Self.failure(.badFileDescriptor) }
        guard let queue = listener.queue else { return Self.failure(.invalidArgument) }
        guard let first = queue.first else { return Self.failure(.resourceTemporarilyUnavailable) }
        listener.queue?.removeFirst()
        return Int(install(first))
    }

    func connect(_ socket: Socket, port: UInt16) -> Int {
        guard !socket.isClosed else { return Self.failure(.badFileDescriptor) }
        guard !socket.wasConnected else { return Self.failure(.socketIsConnected) }
        let listener = table.lazy.compactMap(\.self).first { $0.queue != nil && $0.port == port }
        guard let listener else { return Self.failure(.connectionRefused) }
        let accepted = Socket()
        join(socket, accepted)
        listener.queue?.append(accepted)
        return 0
    }

    func receive(_ socket: Socket, into bytes: UnsafeMutableRawBufferPointer) -> Int {
        guard !socket.isClosed else { return Self.failure(.badFileDescriptor) }
        if socket.isReset {
            // Reported once; what comes behind it is the end.
            (socket.isReset, socket.isEnded) = (false, true)
            return Self.failure(.connectionReset)
        }
        guard !socket.inbound.isEmpty else {
            return socket.isEnded ? 0 : Self.failure(.resourceTemporarilyUnavailable)
        }
        let count = min(bytes.count, socket.inbound.count)
        bytes.copyBytes(from: socket.inbound.prefix(count))
        socket.inbound.removeFirst(count)
        return count
    }

    func room(to socket: Socket) -> Int {
        socket.peer.map { max(0, Self.socketByteCount - $0.inbound.count) } ?? 0
    }

    /// Whether a send would not wait: room, or an error.
    func isWritable(_ socket: Socket) -> Bool {
        socket.isClosed || socket.isReset || socket.hasShutWriting || socket.peer == nil
            || room(to: socket) > 0
    }

    func send(_ socket: Socket, _ bytes: UnsafeRawBufferPointer) -> Int {
        guard !socket.isClosed else { return Self.failure(.badFileDescriptor) }
        if socket.isReset {
            (socket.isReset, socket.isEnded) = (false, true)
            return Self.failure(.connectionReset)
        }
        guard !socket.hasShutWriting, let peer = socket.peer else {
            return Self.failure(.brokenPipe)
        }
        let count = min(bytes.count, room(to: socket))
        guard count > 0 else { return Self.failure(.resourceTemporarilyUnavailable) }
        peer.inbound.append(contentsOf: bytes.prefix(count))
        return count
    }

    static func failure(_ error: Errno) -> Int { -Int(error.rawValue) }
}

/// The other side of a socket under test, played by the harness: it acts at once.
extension SimulatedKernel {
    package func send(_ fd: Int32, _ bytes: [UInt8]) -> Int {
        guard let socket = socket(fd) else { return Self.failure(.badFileDescriptor) }
        return bytes.withUnsafeBytes { send(socket, $0) }
    }

    /// What waits, at most `count` bytes, or the error.
    package func receive(_ fd: Int32, count: Int) throws(Errno) -> [UInt8] {
        guard let socket = socket(fd) else { throw .badFileDescriptor }
        var bytes = [UInt8](repeating: 0, count: count)
        let result = bytes.withUnsafeMutableBytes { receive(socket, into: $0) }
        guard result >= 0 else { throw Errno(rawValue: Int32(-result)) }
        return Array(bytes.prefix(result))
    }
}
