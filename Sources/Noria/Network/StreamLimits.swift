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
    /// How long no byte may come or go; nil, the default, for ever.
    ///
    /// A handler that neither reads nor writes for that long is cut off, too. When it is up, reading
    /// throws `.timedOut`. The handler may still write a last word, and its end closes the
    /// connection in order, by FIN; one that has not ended within `lingerTimeout`, and bytes that
    /// the peer does not take, end it by a reset. Time-outs are judged once a turn of the loop.
    public var idleTimeout: Duration?
    /// How long a begun line, frame or exact count may take to be whole; nil, the default, for ever.
    ///
    /// It runs while a reading form waits with the first byte in hand, and not between messages;
    /// `next`, `withNext` and `readAll` know no message. It ends the connection as `idleTimeout`.
    public var readTimeout: Duration?
    /// How long the peer may take no byte while more than the high mark is unsent or a task waits
    /// in `write` or `flush`; nil, the default, for ever.
    ///
    /// When it is up reading and writing throw `.timedOut`, what is unsent is dropped, and the
    /// connection ends by a reset, for nothing else would get through.
    public var writeTimeout: Duration?
    /// How long a close waits for the peer's end: 1 s; half of it for one that is idle at a drain.
    public var lingerTimeout: Duration
    /// How long a connection's PROXY header may take to come, where one is required: 5 s.
    ///
    /// A proxy sends it at once; three seconds are a segment that TCP has to send again.
    public var proxyHeaderTimeout: Duration
    /// The connections that a listener has at one time; nil, the default, sets no limit.
    ///
    /// At the limit nobody is accepted, and clients wait in the kernel's queue (see
    /// `SocketOptions.backlog`) until a connection has been closed.
    public var connectionLimit: Int?

    /// Limits with the defaults of the house.
    ///
    /// `bind`, `connect` and `Runtime.run` refuse time-outs and counts that are not above 0.
    public init(
        highMarkByteCount: Int = 65_536,
        lowMarkByteCount: Int = 16_384,
        outboundByteCountLimit: Int = 1_048_576,
        idleTimeout: Duration? = nil,
        readTimeout: Duration? = nil,
        writeTimeout: Duration? = nil,
        lingerTimeout: Duration = .seconds(1),
        proxyHeaderTimeout: Duration = .seconds(5),
        connectionLimit: Int? = nil
    ) {
        self.highMarkByteCount = highMarkByteCount
        self.lowMarkByteCount = lowMarkByteCount
        self.outboundByteCountLimit = outboundByteCountLimit
        self.idleTimeout = idleTimeout
        self.readTimeout = readTimeout
        self.writeTimeout = writeTimeout
        self.lingerTimeout = lingerTimeout
        self.proxyHeaderTimeout = proxyHeaderTimeout
        self.connectionLimit = connectionLimit
    }
}
