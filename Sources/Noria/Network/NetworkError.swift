// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
public import SystemPackage

/// What went wrong on the network: the operation, the address, the reason.
///
/// "connect to 10.0.0.7:5432: connection refused (ECONNREFUSED)"
public struct NetworkError: Error, CustomStringConvertible, Sendable {
    /// The reasons that a program may want to tell apart.
    @nonexhaustive
    public enum Kind: Sendable, Hashable {
        /// No runtime runs here: the call stands outside `Runtime.run`.
        case noRuntime
        /// The text is no address, or a name where only literals are taken.
        case badAddress
        /// The name has no address.
        case unknownHost
        /// Somebody listens there already.
        case addressInUse
        /// The process lacks the right, as for ports below 1024.
        case permissionDenied
        /// Nobody listens there.
        case refused
        /// No way leads there.
        case unreachable
        /// The peer ended the connection with a reset.
        case reset
        /// This end was closed already, or the peer no longer reads.
        case closed
        /// The stream ended inside a message.
        case endedEarly
        /// A line or frame is longer than its limit.
        case tooLong
        /// More bytes wait than the hard limit allows.
        case outboundFull
        /// The time was up.
        case timedOut
        /// Two tasks read from one stream at the same time.
        case alreadyReading
        /// The process or the machine has no descriptor left.
        case descriptorsExhausted
        /// Anything else: see `errno`.
        case other
    }

    /// Behind one reference: a stream has room for two errors, and each async frame for more.
    private final class Details: Sendable {
        let kind: Kind
        let operation: String
        let address: SocketAddress?
        let connection: UInt64?
        let errno: Errno?
        let causes: [NetworkError]
        let advice: String?

        init(
            _ kind: Kind,
            _ operation: String,
            _ address: SocketAddress?,
            _ connection: UInt64?,
            _ errno: Errno?,
            _ causes: [NetworkError],
            _ advice: String?
        ) {
            (self.kind, self.operation, self.errno) = (kind, operation, errno)
            (self.address, self.connection) = (address, connection)
            (self.causes, self.advice) = (causes, advice)
        }
    }

    private let details: Details

    /// The reason.
    public var kind: Kind { details.kind }
    /// What was tried, as a verb phrase: `connect`, `read`, `bind`.
    public var operation: String { details.operation }
    /// The other end, or the address that was asked for.
    public var address: SocketAddress? { details.address }
    /// The kernel's own number, if it had a word in it.
    public var errno: Errno? { details.errno }
    /// The errors behind this one, when several attempts failed.
    public var causes: [NetworkError] { details.causes }
    private var advice: String? { details.advice }
    /// The number of the connection that it happened on.
    var connection: UInt64? { details.connection }

    init(
        _ kind: Kind,
        _ operation: String,
        address: SocketAddress? = nil,
        connection: UInt64? = nil,
        from errno: Errno? = nil,
        causes: [NetworkError] = [],
        advice: String? = nil
    ) {
        details = Details(kind, operation, address, connection, errno, causes, advice)
    }

    /// The label keeps the two apart: `Errno`, too, has a `.badAddress` and a `.timedOut`.
    init(
        errno: Errno,
        _ operation: String,
        address: SocketAddress? = nil,
        connection: UInt64? = nil,
        advice: String? = nil
    ) {
        self.init(
            Kind(errno),
            operation,
            address: address,
            connection: connection,
            from: errno,
            advice: advice
        )
    }

    /// One sentence: what failed, on what, why, and what to do.
    public var description: String {
        var text = operation
        if let address { text += " \(address)" }
        if let connection { text += " (connection \(connection))" }
        text += ": \(reason)"
        if let errno { text += " (\(errno.name))" }
        if let advice, hasOwnReason { text += "; \(advice)" }
        for cause in causes { text += "\n  \(cause)" }
        return text
    }

    private var reason: String {
        switch kind {
        case .noRuntime: "no runtime runs here: call it inside 'Runtime.run' or 'withRuntime'"
        case .badAddress: "not an address"
        case .unknownHost: "unknown host"
        case .addressInUse: "the address is in use"
        case .permissionDenied: "permission denied"
        case .refused: "connection refused: nobody listens there"
        case .unreachable: "no way leads there"
        case .reset: "connection reset by the peer"
        case .closed: "the connection is closed"
        case .endedEarly: "the stream ended inside a message"
        case .tooLong: "longer than its limit"
        case .outboundFull: "more bytes wait to be sent than the limit allows"
        case .timedOut: "timed out"
        case .alreadyReading: "another task reads from this stream; a stream has one reader"
        case .descriptorsExhausted: "no file descriptor is left; raise 'ulimit -n'"
        case .other: errno.map { "\($0)" } ?? advice ?? "failed"
        }
    }

    /// Whether `reason` says anything without the advice.
    private var hasOwnReason: Bool { kind != .other || errno != nil }
}

extension NetworkError.Kind {
    init(_ errno: Errno) {
        switch errno {
        case .addressInUse: self = .addressInUse
        case .permissionDenied, .notPermitted: self = .permissionDenied
        case .connectionRefused: self = .refused
        case .networkUnreachable, .noRouteToHost, .hostIsDown, .addressNotAvailable:
            self = .unreachable
        case .connectionReset: self = .reset
        case .brokenPipe, .badFileDescriptor, .socketNotConnected: self = .closed
        case .timedOut: self = .timedOut
        case .tooManyOpenFiles, .tooManyOpenFilesInSystem: self = .descriptorsExhausted
        default: self = .other
        }
    }
}
