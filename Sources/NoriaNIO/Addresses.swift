// SPDX-License-Identifier: Apache-2.0
#if NIO
internal import NIOCore
internal import Noria
internal import NoriaSystem

extension SocketStorage {
    /// The same address, or nil for what has neither an IP address nor a path.
    init?(_ address: NIOCore::SocketAddress) {
        if let path = address.pathname {
            self.init(unixPath: Array(path.utf8))
            return
        }
        guard let literal = address.ipAddress,
            let port = address.port.flatMap(UInt16.init(exactly:))
        else { return nil }
        self.init(literal: literal, port: port)
    }

    /// The same address in SwiftNIO's words.
    ///
    /// Nil for an abstract name, for which SwiftNIO has no word, and for no name.
    var address: NIOCore::SocketAddress? {
        if case .path(let path)? = unixName {
            let text = String(decoding: path, as: UTF8.self)
            return try? NIOCore::SocketAddress(unixDomainSocketPath: text)
        }
        guard let port else { return nil }
        let address = try? NIOCore::SocketAddress(ipAddress: host, port: Int(port))
        // As with SwiftNIO's transports, where who reads `host` finds the literal.
        return switch address {
        case .v4(let address): NIOCore::SocketAddress(address.address, host: host)
        case .v6(let address): NIOCore::SocketAddress(address.address, host: host)
        default: address
        }
    }
}

extension Noria::SocketAddress {
    /// An IP address in SwiftNIO's words; nil for a Unix one.
    var nioAddress: NIOCore::SocketAddress? {
        // `127.0.0.1:80` or `[::1]:80`.
        let text = "\(self)"
        guard let port, let colon = text.lastIndex(of: ":") else { return nil }
        let host = text[..<colon].drop { $0 == "[" }.prefix { $0 != "]" }
        return try? NIOCore::SocketAddress(ipAddress: String(host), port: port)
    }
}
#endif
