// SPDX-License-Identifier: Apache-2.0

/// The options that a socket is made with.
public struct SocketOptions: Sendable, Hashable {
    /// Sends small writes at once (TCP_NODELAY).
    ///
    /// On by default.
    public var noDelay: Bool
    /// Probes an idle peer (SO_KEEPALIVE); nil leaves the system's default.
    public var keepAlive: Bool?
    /// The kernel's receive buffer in bytes (SO_RCVBUF); nil leaves its own sizing.
    public var receiveBufferByteCount: Int?
    /// The kernel's send buffer in bytes (SO_SNDBUF); nil leaves its own sizing.
    public var sendBufferByteCount: Int?
    /// Binds although an old connection of the port is in TIME_WAIT (SO_REUSEADDR).
    public var reusesAddress: Bool
    /// An IPv6 listener takes no IPv4 (IPV6_V6ONLY).
    public var isIPv6Only: Bool
    /// The connections that the kernel queues for a listener, at most; it cuts to `somaxconn`.
    public var backlog: Int

    /// Options with the defaults that a server wants.
    public init(
        noDelay: Bool = true,
        keepAlive: Bool? = nil,
        receiveBufferByteCount: Int? = nil,
        sendBufferByteCount: Int? = nil,
        reusesAddress: Bool = true,
        isIPv6Only: Bool = false,
        backlog: Int = 4096
    ) {
        self.noDelay = noDelay
        self.keepAlive = keepAlive
        self.receiveBufferByteCount = receiveBufferByteCount
        self.sendBufferByteCount = sendBufferByteCount
        self.reusesAddress = reusesAddress
        self.isIPv6Only = isIPv6Only
        self.backlog = backlog
    }
}

/// How much a stream may hold, and for how long.
public struct StreamLimits: Sendable, Hashable {
    /// Bytes unsent above which `write` waits: 64 KiB.
    public var highMarkByteCount: Int
    /// Bytes unsent at which a waiting `write` goes on: a quarter of the high mark.
    public var lowMarkByteCount: Int
    /// Bytes unsent above which `enqueue` fails with `.outboundFull`: 1 MiB.
    public var outboundByteCountLimit: Int
    /// How long a close waits for the peer's end: 1 s.
    public var lingerTimeout: Duration

    /// Limits with the defaults of the house.
    public init(
        highMarkByteCount: Int = 65_536,
        lowMarkByteCount: Int = 16_384,
        outboundByteCountLimit: Int = 1_048_576,
        lingerTimeout: Duration = .seconds(1)
    ) {
        self.highMarkByteCount = highMarkByteCount
        self.lowMarkByteCount = lowMarkByteCount
        self.outboundByteCountLimit = outboundByteCountLimit
        self.lingerTimeout = lingerTimeout
    }
}
