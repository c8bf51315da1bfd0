// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// The C library's look-up of names: /etc/hosts, DNS, and whatever else nsswitch.conf names.
///
/// It blocks, for as long as resolv.conf says: 5 s for each server and try if nothing else stands
/// there.
package enum NameLookup {
    package enum Failure: Error {
        /// The name has no address; the text is the library's.
        case unknown(String)
        /// No server answered, or there is none: another time it may work.
        case temporary(String)
        case other(String)
    }

    /// The stream addresses of a host, in the order in which RFC 6724 prefers them.
    package static func addresses(
        of host: String,
        port: UInt16
    ) throws(Failure) -> [SocketStorage] {
        // The C library would read up to a zero byte and ask for another name.
        guard !host.utf8.contains(0) else { throw .unknown("a zero byte in the name") }
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_ADDRCONFIG
        var list: UnsafeMutablePointer<addrinfo>?
        let result = getaddrinfo(host, nil, &hints, &list)
        guard result == 0 else { throw failure(result) }
        defer { freeaddrinfo(list) }
        var addresses: [SocketStorage] = []
        var entry = list
        while let info = entry?.pointee {
            // SAFETY: the library says of which family the address is, and that is its type.
            switch (info.ai_family, info.ai_addr) {
            case (AF_INET, let address?):
                var ipv4 = UnsafeRawPointer(address).load(as: sockaddr_in.self)
                ipv4.sin_port = port.bigEndian
                addresses.append(SocketStorage(copying: ipv4))
            case (AF_INET6, let address?):
                var ipv6 = UnsafeRawPointer(address).load(as: sockaddr_in6.self)
                ipv6.sin6_port = port.bigEndian
                addresses.append(SocketStorage(copying: ipv6))
            default: break
            }
            entry = info.ai_next
        }
        return addresses
    }

    private static func failure(_ result: Int32) -> Failure {
        let text = gai_strerror(result).map { String(cString: $0) } ?? "error \(result)"
        // `EAI_NODATA` and `EAI_ADDRFAMILY` are the library's own.
        switch result {
        case EAI_NONAME, -5, -9: return .unknown(text)
        case EAI_AGAIN: return .temporary(text)
        case EAI_SYSTEM: return .other("\(text): \(String(cString: strerror(errno)))")
        default: return .other(text)
        }
    }
}
