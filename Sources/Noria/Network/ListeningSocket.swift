// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
internal import SystemPackage

/// A socket that listens, and what its kind needs to begin and to stop.
struct ListeningSocket: Sendable {
    let fd: Int32
    let address: SocketAddress
    /// The file that its path is, while it is ours.
    private let file: SocketFile?

    /// How a socket shares the port: the first of several binds alone, so that a second instance
    /// of the program is refused, and lets its siblings in after.
    enum PortRole { case alone, first, sibling }

    private init(fd: Int32, address: SocketAddress, file: SocketFile?) {
        (self.fd, self.address, self.file) = (fd, address, file)
    }

    /// A socket that another process has made, and whose path is that one's.
    init(inherited fd: Int32, _ address: SocketAddress) {
        self.init(fd: fd, address: address, file: nil)
    }

    // MARK: TCP

    static func tcp(
        _ address: SocketAddress,
        _ options: SocketOptions,
        _ role: PortRole
    ) throws(NetworkError) -> Self {
        try begin(at: address) { fd throws(Errno) in
            if options.reusesAddress { try Socket.set(.reuseAddress, to: 1, on: fd) }
            if address.storage.isIPv6 {
                try Socket.set(.ipv6Only, to: options.isIPv6Only ? 1 : 0, on: fd)
            }
            try options.applyBuffers(to: fd)
            if role == .sibling { try Socket.set(.reusePort, to: 1, on: fd) }
            try Socket.bind(fd, to: address.storage)
            if role == .first { try Socket.set(.reusePort, to: 1, on: fd) }
            try Socket.listen(fd, backlog: options.backlog)
            return nil
        }
    }

    // MARK: Unix

    /// Listens on a path, with this mode, or on an abstract name.
    ///
    /// At no moment may more than the mode says connect: the path never has more bits than it, and
    /// nobody can connect before `listen`. A umask would be the whole process's.
    static func unix(
        _ address: SocketAddress,
        mode: FilePermissions,
        _ options: SocketOptions
    ) throws(NetworkError) -> Self {
        let mode = mode.intersection(FilePermissions(rawValue: 0o777))
        let hasPath = if case .path? = address.storage.unixName { true } else { false }
        if hasPath { try takeAwayStalePath(address) }
        return try begin(at: address) { fd throws(Errno) in
            if hasPath { try SocketFile.limitPermissions(of: fd, to: mode) }
            try Socket.bind(fd, to: address.storage)
            guard hasPath else {
                try Socket.listen(fd, backlog: options.backlog)
                return nil
            }
            let file = try SocketFile.find(address.storage)
            do throws(Errno) {
                // The umask may have taken some away.
                if file.permissions != mode {
                    try SocketFile.setPermissions(mode, at: address.storage)
                }
                try Socket.listen(fd, backlog: options.backlog)
            } catch {
                try? SocketFile.remove(address.storage)
                throw error
            }
            return file
        }
    }

    /// Removes the path of a socket on which nobody listens any more, as after a crash.
    ///
    /// Who listens is found out by connecting: such a connection ends without a byte. What is no
    /// socket is left alone. Two processes that begin at the same moment on one stale path may both
    /// find it stale; the look just before the removal leaves microseconds for that.
    private static func takeAwayStalePath(_ address: SocketAddress) throws(NetworkError) {
        guard let file = try? SocketFile.find(address.storage) else { return }
        guard file.kind == .socket else {
            throw inUse(
                address,
                "\(file.kind.rawValue) is there, not a socket, and is left alone: name another path"
            )
        }
        guard let answer = probe(address) else {
            throw inUse(address, "another process listens there, or this one")
        }
        switch answer {
        case .connectionRefused: break
        case .noSuchFileOrDirectory: return
        case .resourceTemporarilyUnavailable:
            throw inUse(address, "another process listens there, and its queue is full")
        case .protocolWrongTypeForSocket:
            throw inUse(address, "a socket that is no stream is bound there")
        default:
            throw NetworkError(
                errno: answer,
                "listen on",
                address: address,
                advice: "a socket is there, and asking whether somebody listens on it failed"
            )
        }
        guard let found = try? SocketFile.find(address.storage) else { return }
        guard found == file else {
            throw inUse(address, "another process took the path at this moment")
        }
        do throws(Errno) { try SocketFile.remove(address.storage) } catch .noSuchFileOrDirectory {
            return
        } catch {
            throw NetworkError(
                errno: error,
                "remove the stale socket at",
                address: address,
                advice: "remove it by hand, or use another path"
            )
        }
    }

    /// Whether somebody listens on a Unix address.
    static func hasListener(at address: SocketAddress) -> Bool {
        let answer = probe(address)
        return answer == nil || answer == .resourceTemporarilyUnavailable
    }

    /// Connects and ends again: nil when somebody listens, else why not.
    private static func probe(_ address: SocketAddress) -> Errno? {
        do throws(Errno) {
            let fd = try Socket.stream(for: address.storage)
            defer { Descriptor.close(fd) }
            let result = Socket.connect(fd, to: address.storage)
            return result == 0 ? nil : Errno(negated: result)
        } catch {
            return error
        }
    }

    private static func inUse(_ address: SocketAddress, _ advice: String) -> NetworkError {
        NetworkError(
            .addressInUse,
            "listen on",
            address: address,
            from: .addressInUse,
            advice: advice
        )
    }

    // MARK: Both

    private static func begin(
        at address: SocketAddress,
        _ listen: (Int32) throws(Errno) -> SocketFile?
    ) throws(NetworkError) -> Self {
        do throws(Errno) {
            let fd = try Socket.stream(for: address.storage)
            do throws(Errno) {
                let file = try listen(fd)
                let address = SocketAddress(try Socket.localAddress(of: fd))
                return ListeningSocket(fd: fd, address: address, file: file)
            } catch {
                Descriptor.close(fd)
                throw error
            }
        } catch {
            throw NetworkError(
                errno: error,
                "listen on",
                address: address,
                advice: advice(error, isUnix: address.isUnix)
            )
        }
    }

    private static func advice(_ error: Errno, isUnix: Bool) -> String? {
        switch error {
        case .addressInUse: "another process listens there"
        case .permissionDenied where isUnix: "this user must be able to write to the folder"
        case .permissionDenied: "ports below 1024 need CAP_NET_BIND_SERVICE"
        case .noSuchFileOrDirectory: "the folder does not exist: make it first"
        case .notDirectory: "a part of the path is no folder"
        default: nil
        }
    }

    /// Lets no new connection in; whether handshakes under way still need time to complete.
    ///
    /// A Unix socket has none: a connect is in our queue before this returns, or is refused, since
    /// both hold the listener's lock. Its path goes first, while it is live: who begins to listen
    /// there meanwhile finds it in use, and not a stale path that is about to be removed.
    func refuseNewConnections() -> Bool {
        guard address.isUnix else {
            // Without the filter stopping is still in order.
            try? Socket.refuseNewConnections(fd)
            return true
        }
        removePath()
        try? Socket.shutDownReading(fd)
        return false
    }

    func close() {
        removePath()
        Descriptor.close(fd)
    }

    /// Removes the path, unless another has it by now; before the close, which frees its number.
    private func removePath() {
        guard let file, let found = try? SocketFile.find(address.storage), found.isSame(as: file)
        else { return }
        try? SocketFile.remove(address.storage)
    }
}

extension SocketOptions {
    /// Sets what a connection's socket is to have.
    func apply(to fd: Int32, of address: SocketAddress) throws(Errno) {
        if !address.isUnix {
            if noDelay { try Socket.set(.noDelay, to: 1, on: fd) }
            if let keepAlive { try Socket.set(.keepAlive, to: keepAlive ? 1 : 0, on: fd) }
        }
        try applyBuffers(to: fd)
    }

    /// Sets the kernel's buffers; a TCP listener's connections inherit them.
    func applyBuffers(to fd: Int32) throws(Errno) {
        if let receiveBufferByteCount {
            try Socket.set(.receiveBuffer, to: receiveBufferByteCount, on: fd)
        }
        if let sendBufferByteCount {
            try Socket.set(.sendBuffer, to: sendBufferByteCount, on: fd)
        }
    }
}
