// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem
public import SystemPackage

/// A Unix stream connection, a handle on the stream that its loop serves.
///
/// `serve` and `withUnixConnection` close it at the end of their scope; one from `connect` is closed
/// by whoever called. Used after its close it throws `.closed`. A Unix socket knows no reset of its
/// own: the peer reads one when bytes that it had sent were still unread at our end, else an end.
public struct UnixConnection: StreamConnection {
    let channel: StreamChannel

    /// Connects to the path of a Unix listener; whoever calls closes.
    ///
    /// While the listener's queue is full it is tried again, after 1 ms and then ever more rarely,
    /// up to every 32 ms, until `timeout` is over.
    ///
    /// - Throws: `NetworkError` (`.refused`, also when the path does not exist,
    ///   `.permissionDenied`, `.timedOut`, `.badAddress`, `.descriptorsExhausted`, `.noRuntime`), or
    ///   `CancellationError`.
    public static func connect(
        path: FilePath,
        timeout: Duration = .seconds(10),
        limits: StreamLimits? = nil
    ) async throws -> Self {
        try await connect(address: .unix(path), timeout: timeout, limits: limits)
    }

    /// Connects to a Unix address, a path's or an abstract one: see `connect(path:)`.
    ///
    /// - Throws: as `connect(path:)`; `.badAddress` for an IP address, too.
    public static func connect(
        address: SocketAddress,
        timeout: Duration = .seconds(10),
        limits: StreamLimits? = nil
    ) async throws -> Self {
        guard address.isUnix else {
            throw SocketAddress.notAnAddress("\(address)", "for an IP address use 'TCPConnection'")
        }
        let channel = try await Connector.connect(to: address, timeout: timeout, limits: limits)
        return Self(channel: channel)
    }

    /// Who is at the other end, as it was when the connection was made.
    ///
    /// Any thread.
    ///
    /// - Throws: `.other` when the kernel did not say.
    public var peerCredentials: PeerCredentials {
        get throws(NetworkError) {
            guard let credentials = channel.peerCredentials else {
                throw channel.failure(.other, "ask for the credentials of")
            }
            return credentials
        }
    }

    /// A number that no other connection of this process has.
    public var id: UInt64 { channel.id }
    /// What the peer sends.
    public var inbound: InboundBytes { InboundBytes(channel: channel) }
    /// The way to the peer.
    public var outbound: OutboundBytes { OutboundBytes(channel: channel) }
    /// The loop on which the connection lives.
    public var eventLoop: EventLoop { channel.loop }
    /// This end: the listener's address at its connections, mostly `unix:(unnamed)` at the other.
    public var localAddress: SocketAddress { channel.localAddress }
    /// The other end; `unix:(unnamed)` for one who connected without a name, as nearly all do.
    public var peerAddress: SocketAddress { channel.peerAddress }
    /// The proxy that connected here for the client, whose address `peerAddress` is then; nil where
    /// none has named one: see `ProxyProtocol`.
    public var proxyAddress: SocketAddress? { channel.proxyAddress }
    /// Whether shutdown has begun: this answer should be the last.
    ///
    /// Any thread.
    public var isDraining: Bool { channel.isDraining }

    /// Marks the connection as owing no answer: see `TCPConnection.setIdle`.
    ///
    /// Any thread.
    public func setIdle(_ isIdle: Bool) {
        channel.loop.perform { [channel] in channel.markIdle(isIdle) }
    }

    /// Ends the connection now; unsent bytes are dropped.
    ///
    /// Any thread.
    public func abort() { channel.abort() }

    /// Sends what waits, ends our direction, waits for the peer's end up to the linger time.
    ///
    /// Idempotent, and not cut short by cancellation: the linger time bounds it.
    public func close() async { await channel.close() }

    /// The connection in logs:
    /// `connection 7 from unix:(unnamed) (process 4242, user 1000, group 1000)`.
    public var description: String { channel.description }

    /// Whether both are handles on the same connection.
    public static func == (left: Self, right: Self) -> Bool { left.id == right.id }

    /// Hashes the connection's number.
    public func hash(into hasher: inout Hasher) { hasher.combine(id) }
}

/// Connects to the path of a Unix listener, runs `body` over the connection, and closes it,
/// whatever the body does.
///
/// - Throws: as `UnixConnection.connect`, and what the body throws.
public func withUnixConnection<Value>(
    path: FilePath,
    timeout: Duration = .seconds(10),
    limits: StreamLimits? = nil,
    _ body: (UnixConnection) async throws -> Value
) async throws -> Value {
    let connection = try await UnixConnection.connect(path: path, timeout: timeout, limits: limits)
    return try await connection.channel.run { try await body(connection) }
}
