// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaSystem
internal import SystemPackage

/// The descriptors that a service manager has passed to this process: LISTEN_FDS of sd_listen_fds(3).
///
/// They belong to the process, and each is taken once. The variables stay as they are: LISTEN_PID
/// says whom they are for, and no child has the descriptors.
enum InheritedSockets {
    private static let waiting = Guarded<[(name: String, descriptor: Int32)]>(found())

    /// Takes what was passed on under a name, but for what listens in another family: a socket unit
    /// may have a port and a path.
    static func take(_ name: String, isUnix: Bool) -> [Int32] {
        let other: ServiceManager.Family = isUnix ? .ip : .unix
        return waiting.withLock { waiting in
            var taken: [Int32] = []
            waiting.removeAll { entry in
                guard entry.name == name, isUnix ? taken.isEmpty : true,
                    (try? ServiceManager.listeningFamily(of: entry.descriptor)) != other
                else { return false }
                taken.append(entry.descriptor)
                return true
            }
            return taken
        }
    }

    /// Sees to it that no child gets them, before the first can be made.
    static func adopt() { _ = waiting }

    private static func found() -> [(name: String, descriptor: Int32)] {
        guard Thread.environment("LISTEN_PID") == "\(Thread.processID)",
            let count = Thread.environment("LISTEN_FDS").flatMap({ Int32($0) }), count > 0
        else { return [] }
        let names = Thread.environment("LISTEN_FDNAMES")
            .map { $0.split(separator: ":", omittingEmptySubsequences: false) }
        let first = ServiceManager.firstDescriptor
        return (first..<first + min(count, 65_536)).compactMap { descriptor in
            // One that is not there, whatever was said, is none.
            guard (try? ServiceManager.adopt(descriptor)) != nil else { return nil }
            let index = Int(descriptor - first)
            let name = names.flatMap { index < $0.count ? String($0[index]) : nil }
            return (name ?? "unknown", descriptor)
        }
    }
}

extension ListeningSocket {
    /// The listening sockets of a name that were passed to this process; of none of another kind.
    static func inherited(_ name: String, isUnix: Bool) throws(NetworkError) -> [Self] {
        var sockets: [Self] = []
        var failure: NetworkError?
        for descriptor in InheritedSockets.take(name, isUnix: isUnix) {
            do throws(Errno) {
                let family = try ServiceManager.listeningFamily(of: descriptor)
                guard family == (isUnix ? .unix : .ip) else { throw .protocolWrongTypeForSocket }
                let address = SocketAddress(try Socket.localAddress(of: descriptor))
                sockets.append(ListeningSocket(inherited: descriptor, address))
            } catch {
                Descriptor.close(descriptor)
                failure = NetworkError(
                    errno: error,
                    "take over the descriptor '\(name)'",
                    advice: "it must be a listening \(isUnix ? "Unix" : "TCP") stream socket"
                )
            }
        }
        guard let failure else { return sockets }
        for socket in sockets { socket.close() }
        throw failure
    }
}

extension TCPListener {
    /// Listens on the sockets that a service manager has passed on under a name, or the process
    /// before us by `store`; nil when there are none of that name.
    ///
    /// The name is FileDescriptorName= of a systemd socket unit (else that unit's own name), or what
    /// `store` was given. With several loops and one socket the connections are handed out in turn.
    /// At its end it stops to accept and no more: who has connected since waits for the next
    /// process. Each is taken once.
    ///
    /// - Throws: `NetworkError`: `.other` for what is no listening TCP socket, `.noRuntime`.
    public static func inherited(
        name: String,
        limits: StreamLimits? = nil,
        proxyProtocol: ProxyProtocol = .off,
        file: StaticString = #fileID,
        line: UInt = #line
    ) async throws -> Self? {
        let acceptors = try await Acceptor.inherited(
            name,
            isUnix: false,
            limits: limits,
            proxyProtocol: proxyProtocol
        )
        guard !acceptors.isEmpty, let runtime = Runtime.current else { return nil }
        let place = CodePlace(file: file, line: line)
        let listener = TCPListener(acceptors: acceptors, openedAt: place)
        runtime.shutdown.register(listener, name: "listener \(listener.localAddress)")
        return listener
    }

    /// Has the service manager keep a copy of the sockets, which the next process gets by
    /// `inherited(name:)`: FDSTORE of sd_notify(3), with FileDescriptorStoreMax= in the unit.
    ///
    /// From then on its end leaves who connects to the next process, as that of an inherited one.
    ///
    /// - Throws: `NetworkError`: `.other` without a service manager, or when that takes nothing.
    public func store(name: String) async throws {
        guard let supervisor = Runtime.current?.supervisor, supervisor.isThere else {
            throw NetworkError(
                .other,
                "store",
                address: localAddress,
                advice: "NOTIFY_SOCKET is not set: run it as a service of systemd"
            )
        }
        guard (1...255).contains(name.utf8.count),
            name.utf8.allSatisfy({ (0x21...0x7e).contains($0) && $0 != UInt8(ascii: ":") })
        else {
            throw NetworkError(
                .other,
                "store",
                address: localAddress,
                advice: "'\(name)' is no name: 1 to 255 printable characters, no space and no colon"
            )
        }
        for acceptor in acceptors {
            try await acceptor.loop.bring { try acceptor.store(name, with: supervisor) }
        }
    }
}

extension UnixListener {
    /// The same as `TCPListener.inherited(name:)` for a Unix socket, whose path is left alone; of
    /// several with one name each call takes one.
    ///
    /// - Throws: `NetworkError`: `.other` for what is no listening Unix socket, `.noRuntime`.
    public static func inherited(
        name: String,
        limits: StreamLimits? = nil,
        proxyProtocol: ProxyProtocol = .off,
        file: StaticString = #fileID,
        line: UInt = #line
    ) async throws -> Self? {
        let acceptors = try await Acceptor.inherited(
            name,
            isUnix: true,
            limits: limits,
            proxyProtocol: proxyProtocol
        )
        guard let acceptor = acceptors.first, let runtime = Runtime.current else { return nil }
        let place = CodePlace(file: file, line: line)
        let listener = UnixListener(acceptor: acceptor, openedAt: place)
        runtime.shutdown.register(listener, name: "listener \(listener.localAddress)")
        return listener
    }
}

extension Acceptor {
    /// One for each socket of a name, in turn over the loops; where there are fewer sockets than
    /// loops, each hands its connections out to all.
    fileprivate static func inherited(
        _ name: String,
        isUnix: Bool,
        limits: StreamLimits?,
        proxyProtocol: ProxyProtocol
    ) async throws -> [Acceptor] {
        guard let runtime = Runtime.current else { throw NetworkError(.noRuntime, "listen") }
        let network = runtime.configuration.network
        let limits = limits ?? network.limits
        try limits.check("listen on", nil)
        let sockets = try ListeningSocket.inherited(name, isUnix: isUnix)
        let (loops, admission) = (runtime.eventLoops, Admission(limit: limits.connectionLimit))
        var acceptors: [Acceptor] = []
        for (index, socket) in sockets.enumerated() {
            let loop = loops[index % loops.count]
            let homes = sockets.count < loops.count ? Array(loops) : [loop]
            do {
                acceptors.append(
                    try await loop.bring {
                        let acceptor = try Acceptor(
                            socket,
                            on: loop,
                            homes: homes,
                            runtime: runtime,
                            options: network.socket,
                            limits: limits,
                            proxyProtocol: proxyProtocol,
                            admission: admission
                        )
                        acceptor.isKeptElsewhere = true
                        return acceptor
                    }
                )
            } catch {
                // It has closed its own; those behind it are nobody's yet.
                for socket in sockets[(index + 1)...] { socket.close() }
                await TCPListener(acceptors: acceptors).close()
                throw error
            }
        }
        return acceptors
    }
}
