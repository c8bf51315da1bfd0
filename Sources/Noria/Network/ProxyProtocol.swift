// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaEngine
internal import NoriaSystem

/// Whether a listener's connections begin with a PROXY header, which names the client behind a
/// load balancer.
@nonexhaustive
public enum ProxyProtocol: Sendable, Hashable {
    /// The first byte is the client's.
    case off
    /// Each connection begins with a header of version 1 or 2, as HAProxy's `send-proxy` and
    /// `send-proxy-v2` send it.
    ///
    /// A connection without one is reset, and its handler never runs. The handler sees the client's
    /// address as `peerAddress`, the proxy's as `proxyAddress`, and what follows the header. Whoever
    /// can connect can say what he likes there: only the proxy may reach such a listener.
    case required
}

/// Connections that were refused since the runtime began, for the PROXY header that they lacked.
public struct ProxyHeaderCounts: Codable, Sendable, Hashable {
    /// Those whose first bytes are no header.
    public internal(set) var malformed = 0
    /// Those that ended before their header, as plain health checks do.
    public internal(set) var missing = 0
    /// Those whose header did not come within `StreamLimits.proxyHeaderTimeout`.
    public internal(set) var timedOut = 0
}

/// Counts the connections without a header, and tells some of them.
///
/// Any thread.
final class ProxyHeaderRefusals: Sendable {
    private struct State {
        var counts = ProxyHeaderCounts()
        var reports = ReportLimit(nanoseconds: 5_000_000_000)
    }

    private let state = Guarded(State())

    var counts: ProxyHeaderCounts { state.withLock { $0.counts } }

    func add(_ kind: WritableKeyPath<ProxyHeaderCounts, Int>) {
        state.withLock { $0.counts[keyPath: kind] += 1 }
    }

    /// Whether a refusal may be reported now, and how many were held back: see `ReportLimit`.
    func report(_ now: UInt64) -> Int? { state.withLock { $0.reports.admit(now) } }
}

extension StreamChannel {
    /// The other end: the client that a proxy names, else who is connected to our socket.
    var peerAddress: SocketAddress { client ?? socketPeer }

    /// The proxy, where it named a client.
    var proxyAddress: SocketAddress? { client == nil ? nil : socketPeer }

    /// Reads the header that comes first; false when there is none, and the connection is over.
    ///
    /// It is no request: at a drain a connection that has sent only this is idle.
    func readProxyHeader(_ runtime: Runtime) async throws -> Bool {
        guard loop.isHome else {
            return try await loop.bring { try await self.readProxyHeader(runtime) }
        }
        let patience = StreamTimer(limits.proxyHeaderTimeout, on: loop) { [self] in
            // What has come is looked at first: this loop may have been late.
            if reader != nil, !isAboutToReceive { interruptReader(.readTimedOut) }
            return .nanoseconds(Self.deliveryNanoseconds)
        }
        defer { patience.end() }
        do {
            let limit = ProxyHeader.byteCountLimit
            let header = try await InboundBytes(channel: self).readFrame(limit: limit) { cursor in
                guard let header = try ProxyHeader.read(cursor.peek(limit)) else {
                    throw ByteCursor.NeedsMore()
                }
                _ = try cursor.readBytes(header.byteCount)
                return header
            }
            if let header {
                client = try header.client()
                talk = unread.isEmpty ? .fresh : .asked
                return true
            }
            // A drain ends the wait, too.
            if !isDraining { runtime.proxyHeaderRefusals.add(\.missing) }
        } catch let reason as ProxyHeader.Malformed {
            refuse(\.malformed, "\(reason)", runtime)
        } catch let error as NetworkError where error.kind == .timedOut {
            refuse(
                \.timedOut,
                "its PROXY header did not come within \(limits.proxyHeaderTimeout)",
                runtime
            )
        } catch let error as NetworkError {
            // Aborted by ourselves is no news.
            if error.kind != .closed { runtime.proxyHeaderRefusals.add(\.missing) }
        }
        return false
    }

    private func refuse(
        _ kind: WritableKeyPath<ProxyHeaderCounts, Int>,
        _ reason: String,
        _ runtime: Runtime
    ) {
        abort(with: nil)
        runtime.proxyHeaderRefusals.add(kind)
        guard let heldBack = runtime.proxyHeaderRefusals.report(MonotonicClock.now) else { return }
        let count = heldBack > 0 ? " (and \(heldBack) others since the last report)" : ""
        runtime.configuration.logger.warning("\(self) is refused: \(reason)\(count)")
    }
}

extension ProxyHeader {
    /// The client's address, nil when it is not said; a destination that is none is refused, too.
    fileprivate func client() throws(Malformed) -> SocketAddress? {
        guard let ends else { return nil }
        guard let source = ends.source.address, ends.destination.address != nil else {
            throw .badAddress
        }
        return source
    }
}

extension ProxyHeader.Endpoint {
    /// The address; nil when it is none.
    var address: SocketAddress? {
        let storage: SocketStorage?
        switch self {
        case .literal(let text, let isIPv6, let port):
            storage = SocketStorage(literal: text, port: port)
            if storage?.isIPv6 != isIPv6 { return nil }
        case .ip(let bytes, let port): storage = SocketStorage(ip: bytes, port: port)
        case .unix(let name): storage = SocketStorage(unixField: name)
        }
        return storage.map(SocketAddress.init)
    }
}
