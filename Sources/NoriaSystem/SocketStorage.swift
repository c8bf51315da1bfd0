// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// A kernel socket address, held in line: IPv4, IPv6 or Unix.
///
/// It exists so that no one above this floor touches `sockaddr`.
package struct SocketStorage: Sendable {
    // First, so that the kernel may read them in place; the words keep them aligned. 112 bytes hold
    // the largest, `sockaddr_un`, and a zero byte behind the longest path that the kernel gives.
    private var words = InlineArray<14, UInt64>(repeating: 0)
    package private(set) var byteCount: UInt32

    /// The bytes of an address that stays where it is, for a kernel that reads them later.
    package static func bytes(of storage: UnsafePointer<Self>) -> (UnsafeRawPointer, UInt32) {
        // SAFETY: the words are the first stored property, so they begin where the struct does.
        (UnsafeRawPointer(storage), storage.pointee.byteCount)
    }

    /// The space for an address that the kernel will fill in.
    package init() { byteCount = UInt32(MemoryLayout.size(ofValue: words)) }

    /// Reads a literal such as `127.0.0.1`, `::1` or `fe80::1%2`; nil when it is none.
    package init?(literal: String, port: UInt16) {
        // The C library would read up to a zero byte and take what lies behind it for nothing.
        guard !literal.utf8.contains(0) else { return nil }
        var ipv4 = sockaddr_in()
        if inet_pton(AF_INET, literal, &ipv4.sin_addr) == 1 {
            ipv4.sin_family = sa_family_t(AF_INET)
            ipv4.sin_port = port.bigEndian
            self.init(copying: ipv4)
            return
        }
        let parts = literal.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        var ipv6 = sockaddr_in6()
        guard let host = parts.first, inet_pton(AF_INET6, String(host), &ipv6.sin6_addr) == 1
        else { return nil }
        if parts.count == 2 {
            guard let scope = Self.scope(parts[1]) else { return nil }
            ipv6.sin6_scope_id = scope
        }
        ipv6.sin6_family = sa_family_t(AF_INET6)
        ipv6.sin6_port = port.bigEndian
        self.init(copying: ipv6)
    }

    /// An address of 4 or 16 bytes in network order; nil for another number of them.
    package init?(ip bytes: [UInt8], port: UInt16) {
        switch bytes.count {
        case 4:
            var ipv4 = sockaddr_in()
            ipv4.sin_family = sa_family_t(AF_INET)
            ipv4.sin_port = port.bigEndian
            // SAFETY: an IPv4 address is four bytes.
            withUnsafeMutableBytes(of: &ipv4.sin_addr) { $0.copyBytes(from: bytes) }
            self.init(copying: ipv4)
        case 16:
            var ipv6 = sockaddr_in6()
            ipv6.sin6_family = sa_family_t(AF_INET6)
            ipv6.sin6_port = port.bigEndian
            // SAFETY: an IPv6 address is sixteen bytes.
            withUnsafeMutableBytes(of: &ipv6.sin6_addr) { $0.copyBytes(from: bytes) }
            self.init(copying: ipv6)
        default: return nil
        }
    }

    /// A number, or the index of the interface of that name.
    private static func scope(_ text: Substring) -> UInt32? {
        // `UInt32` would take a sign, and the kernel would look at what stands before a colon only.
        guard !text.utf8.contains(UInt8(ascii: ":")) else { return nil }
        if text.allSatisfy({ $0.isASCII && $0.isNumber }), let number = UInt32(text) {
            return number
        }
        let index = if_nametoindex(String(text))
        return index == 0 ? nil : index
    }

    init<Address>(copying address: Address) {
        self.init()
        byteCount = UInt32(MemoryLayout<Address>.size)
        // SAFETY: the address types are smaller than the words, and hold no references.
        withUnsafeMutableBytes(of: &words) { $0.storeBytes(of: address, as: Address.self) }
    }

    package var isIPv6: Bool { family == sa_family_t(AF_INET6) }

    package var isUnix: Bool { family == sa_family_t(AF_UNIX) }

    var family: sa_family_t {
        // SAFETY: every socket address begins with its family.
        withUnsafeBytes(of: words) { $0.load(as: sa_family_t.self) }
    }

    /// The port, or nil when the address has none.
    package var port: UInt16? {
        guard family == sa_family_t(AF_INET) || isIPv6 else { return nil }
        // SAFETY: both kinds keep the port at offset 2, in network order.
        return withUnsafeBytes(of: words) {
            UInt16(bigEndian: $0.load(fromByteOffset: 2, as: UInt16.self))
        }
    }

    /// The host as a literal, without port and brackets.
    package var host: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        // SAFETY: the address lies behind the offset that its family gives it.
        let scope: UInt32 = withUnsafeBytes(of: words) { bytes in
            let offset = isIPv6 ? 8 : 4
            _ = inet_ntop(
                Int32(family),
                bytes.baseAddress?.advanced(by: offset),
                &text,
                socklen_t(text.count)
            )
            return isIPv6 ? bytes.load(fromByteOffset: 24, as: UInt32.self) : 0
        }
        let literal = String(
            decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)),
            as: UTF8.self
        )
        return scope == 0 ? literal : "\(literal)%\(scope)"
    }

    /// Lends the bytes to a system call that reads them.
    package func withBytes<Value>(_ body: (UnsafeRawPointer, UInt32) -> Value) -> Value {
        withUnsafeBytes(of: words) { bytes in
            guard let start = bytes.baseAddress else {
                preconditionFailure("112 bytes have a start")
            }
            return body(start, byteCount)
        }
    }

    /// Lends the bytes to a system call that writes them, and its count.
    package mutating func withMutableBytes<Value>(
        _ body: (UnsafeMutableRawPointer, inout UInt32) -> Value
    ) -> Value {
        withUnsafeMutableBytes(of: &words) { bytes in
            guard let start = bytes.baseAddress else {
                preconditionFailure("112 bytes have a start")
            }
            return body(start, &byteCount)
        }
    }
}

// MARK: - Unix

extension SocketStorage {
    /// The bytes of a path, or of an abstract name, at most: unix(7).
    ///
    /// A path is followed by a zero byte, an abstract name preceded by one.
    package static let unixNameLimit = 107

    package enum UnixName: Equatable, Sendable {
        /// As the end of one who connects without having bound has none.
        case unnamed
        case path([UInt8])
        case abstract([UInt8])
    }

    /// An address in the file system; nil for a path that is empty, too long or has a zero byte.
    package init?(unixPath path: [UInt8]) {
        guard Self.isUnixName(path) else { return nil }
        self.init(unix: path + [0])
    }

    /// An address of this machine's network namespace; nil as for a path.
    package init?(abstract name: [UInt8]) {
        guard Self.isUnixName(name) else { return nil }
        self.init(unix: [0] + name)
    }

    /// A name as `sockaddr_un` holds it, with the zero bytes behind it; nil for a path that is too
    /// long.
    package init?(unixField field: [UInt8]) {
        guard let end = field.lastIndex(where: { $0 != 0 }) else {
            self.init(unix: [])
            return
        }
        let isAbstract = field.first == 0
        let name = isAbstract ? field[1...end] : field.prefix { $0 != 0 }
        guard name.count <= Self.unixNameLimit else { return nil }
        self.init(unix: isAbstract ? [0] + name : name + [0])
    }

    private static func isUnixName(_ name: [UInt8]) -> Bool {
        (1...unixNameLimit).contains(name.count) && !name.contains(0)
    }

    private init(unix name: [UInt8]) {
        self.init()
        byteCount = UInt32(Self.unixOffset + name.count)
        // SAFETY: with its offset the name has at most 110 bytes.
        withUnsafeMutableBytes(of: &words) {
            $0.storeBytes(of: sa_family_t(AF_UNIX), as: sa_family_t.self)
            $0[Self.unixOffset...].copyBytes(from: name)
        }
    }

    private static let unixOffset = MemoryLayout<sa_family_t>.size

    /// What a Unix address is called; nil for another kind.
    package var unixName: UnixName? {
        guard isUnix else { return nil }
        let name = withBytes { bytes, byteCount in
            UnsafeRawBufferPointer(start: bytes, count: Int(byteCount))
                .dropFirst(Self.unixOffset).map { $0 }
        }
        guard let first = name.first else { return .unnamed }
        return first == 0 ? .abstract(Array(name.dropFirst())) : .path(name.prefix { $0 != 0 } + [])
    }

    /// Lends the path of a Unix address, which a zero byte ends, to a system call.
    func withUnixPath<Value>(_ body: (UnsafePointer<CChar>) -> Value) -> Value {
        withBytes { bytes, _ in
            body((bytes + Self.unixOffset).assumingMemoryBound(to: CChar.self))
        }
    }
}

extension SocketStorage: Hashable {
    package static func == (left: Self, right: Self) -> Bool {
        left.withBytes { bytes, byteCount in
            right.withBytes { byteCount == $1 && memcmp(bytes, $0, Int(byteCount)) == 0 }
        }
    }

    package func hash(into hasher: inout Hasher) {
        withBytes {
            hasher.combine(bytes: UnsafeRawBufferPointer(start: $0, count: Int($1)))
        }
    }
}
