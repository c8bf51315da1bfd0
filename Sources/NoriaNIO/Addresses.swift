// SPDX-License-Identifier: Apache-2.0
#if NIO
internal import NIOCore
internal import NoriaSystem

extension SocketStorage {
    /// The same address, or nil for what has neither an IP address nor a path.
    init?(_ address: NIOCore::SocketAddress) {
        guard let literal = address.ipAddress,
            let port = address.port.flatMap(UInt16.init(exactly:))
        else { return nil }
        self.init(literal: literal, port: port)
    }

    /// The same address in SwiftNIO's words.
    var address: NIOCore::SocketAddress? {
        guard let port else { return nil }
        return try? NIOCore::SocketAddress(ipAddress: host, port: Int(port))
    }
}
#endif
