// SPDX-License-Identifier: Apache-2.0
#if GRPC
internal import NIOCore
internal import Noria
internal import NoriaNIO
internal import NoriaSystem

/// Which loop has which peer's connection.
///
/// gRPC hands a call's handler no channel, but its peer's address, as text: "ipv4:127.0.0.1:4711".
/// A peer of a Unix socket has no address of its own, and is not found.
final class ConnectionHomes: Sendable {
    private let homes = Guarded<[String: Home]>([:])

    private struct Home {
        let channel: ObjectIdentifier
        let loop: Noria::EventLoop
    }

    /// Until the channel is closed.
    ///
    /// Any thread.
    func add(_ channel: any Channel) {
        guard let loop = channel.eventLoop as? NoriaEventLoop, let peer = Self.name(of: channel)
        else { return }
        let id = ObjectIdentifier(channel)
        homes.withLock { $0[peer] = Home(channel: id, loop: loop.loop) }
        channel.closeFuture.whenComplete { _ in
            self.homes.withLock { homes in
                // A peer may be back before its last connection has ended here.
                if homes[peer]?.channel == id { homes[peer] = nil }
            }
        }
    }

    /// Any thread.
    func loop(of peer: String) -> Noria::EventLoop? { homes.withLock { $0[peer]?.loop } }

    private static func name(of channel: any Channel) -> String? {
        guard let address = channel.remoteAddress, let port = address.port else { return nil }
        return switch address {
        case .v4(let address): "ipv4:\(address.host):\(port)"
        case .v6(let address): "ipv6:[\(address.host)]:\(port)"
        case .unixDomainSocket: nil
        }
    }
}
#endif
