// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem
internal import SystemPackage

/// A byte stream between two ends.
public protocol StreamConnection: Sendable, Hashable, Identifiable, CustomStringConvertible
where ID == UInt64 {
    /// What the peer sends.
    var inbound: InboundBytes { get }
    /// The way to the peer.
    var outbound: OutboundBytes { get }
    /// The loop on which the connection lives.
    var eventLoop: EventLoop { get }
    /// This end.
    var localAddress: SocketAddress { get }
    /// The other end.
    var peerAddress: SocketAddress { get }
    /// The proxy that connected here for the client, whose address `peerAddress` is then; nil where
    /// none has named one: see `ProxyProtocol`.
    var proxyAddress: SocketAddress? { get }
    /// Whether shutdown has begun: this answer should be the last.
    var isDraining: Bool { get }
    /// Marks the connection as owing no answer, for protocols that are not request and response.
    func setIdle(_ isIdle: Bool)
    /// Ends the connection with a reset, now. Any thread.
    func abort()
    /// Sends what waits, ends our direction, waits for the peer's end up to the linger time.
    func close() async
}

/// A TCP connection, a handle on the stream that its loop serves.
///
/// `serve` and `withTCPConnection` close it at the end of their scope; one from `connect` is closed
/// by whoever called. Used after its close it throws `.closed`.
public struct TCPConnection: StreamConnection {
    let channel: StreamChannel

    /// A number that no other connection of this process has.
    public var id: UInt64 { channel.id }
    /// What the peer sends.
    public var inbound: InboundBytes { InboundBytes(channel: channel) }
    /// The way to the peer.
    public var outbound: OutboundBytes { OutboundBytes(channel: channel) }
    /// The loop on which the connection lives.
    public var eventLoop: EventLoop { channel.loop }
    /// This end.
    public var localAddress: SocketAddress { channel.localAddress }
    /// The other end.
    public var peerAddress: SocketAddress { channel.peerAddress }
    /// The proxy that connected here for the client, whose address `peerAddress` is then; nil where
    /// none has named one: see `ProxyProtocol`.
    public var proxyAddress: SocketAddress? { channel.proxyAddress }
    /// Whether shutdown has begun: this answer should be the last.
    ///
    /// Any thread.
    public var isDraining: Bool { channel.isDraining }

    /// Marks the connection as owing no answer, so that a drain may end it while it waits in a read
    /// although bytes have come: for chats and streams of events.
    ///
    /// Any thread.
    public func setIdle(_ isIdle: Bool) {
        channel.loop.perform { [channel] in channel.markIdle(isIdle) }
    }

    /// Ends the connection with a reset, now; unsent bytes are dropped.
    ///
    /// Any thread.
    public func abort() { channel.abort() }

    /// Sends what waits, ends our direction, waits for the peer's end up to the linger time.
    ///
    /// Idempotent, and not cut short by cancellation: the linger time bounds it.
    public func close() async { await channel.close() }

    /// The connection in logs: `connection 7 from 127.0.0.1:5123`.
    public var description: String { channel.description }

    /// Whether both are handles on the same connection.
    public static func == (left: Self, right: Self) -> Bool { left.id == right.id }

    /// Hashes the connection's number.
    public func hash(into hasher: inout Hasher) { hasher.combine(id) }
}
