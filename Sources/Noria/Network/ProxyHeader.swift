// SPDX-License-Identifier: Apache-2.0

/// What a proxy sends before all else on a connection: whom it speaks for.
///
/// The PROXY protocol of HAProxy, version 1 (a line of text) and 2 (binary), read as its
/// specification has it. What version 2 carries behind the addresses (TLVs) is skipped, and a
/// checksum among it is not looked at: TCP has its own. Pure: bytes in, a header out.
struct ProxyHeader: Equatable {
    /// Where the client connected from and to; nil when the proxy speaks for itself, as in its
    /// health checks, or does not say.
    let ends: Ends?
    /// What of the bytes was the header; the rest is the client's.
    let byteCount: Int

    struct Ends: Equatable {
        let source: Endpoint
        let destination: Endpoint
    }

    enum Endpoint: Equatable {
        /// An address as text, of the characters that one is made of; whether it is one is for the
        /// C library to say.
        case literal(String, isIPv6: Bool, port: UInt16)
        /// The 4 or 16 bytes of an address, in network order.
        case ip([UInt8], port: UInt16)
        /// The 108 bytes that `sockaddr_un` has for a name.
        case unix([UInt8])
    }

    /// Why bytes are no header, and won't become one.
    enum Malformed: Error, Equatable {
        case notOne
        case unendedLine
        case badLine
        case badAddress
        case unknownCommand(UInt8)
        case unknownFamily(UInt8)
        case tooShort(byteCount: Int)
        case tooLong(byteCount: Int)
    }

    /// Of both versions: what the specification lets senders use, so that a header fits into the
    /// smallest segment that every host takes.
    static let byteCountLimit = 536
    private static let lineByteCountLimit = 107
    private static let keyword = Array("PROXY ".utf8)
    private static let signature: [UInt8] = [
        0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a,
    ]

    /// Reads the header that `bytes` begin with; nil when it needs more of them.
    static func read(_ bytes: [UInt8]) throws(Malformed) -> Self? {
        if isBegin(bytes, of: signature) { return try readBlock(bytes) }
        if isBegin(bytes, of: keyword) { return try readLine(bytes) }
        throw .notOne
    }

    /// Whether the two are the same for as long as both go on.
    private static func isBegin(_ bytes: [UInt8], of begin: [UInt8]) -> Bool {
        bytes.prefix(begin.count).elementsEqual(begin.prefix(bytes.count))
    }

    // MARK: Version 1

    private static func readLine(_ bytes: [UInt8]) throws(Malformed) -> Self? {
        guard let end = bytes.prefix(lineByteCountLimit).firstIndex(of: 0x0a) else {
            guard bytes.count < lineByteCountLimit else { throw .unendedLine }
            return nil
        }
        // A keyword is in front of it.
        guard bytes[end - 1] == 0x0d else { throw .unendedLine }
        let words = bytes[..<(end - 1)].split(separator: 0x20, omittingEmptySubsequences: false)
        let isIPv6: Bool
        switch String(decoding: words[1], as: UTF8.self) {
        case "TCP4": isIPv6 = false
        case "TCP6": isIPv6 = true
        // Whatever follows is to be ignored.
        case "UNKNOWN": return Self(ends: nil, byteCount: end + 1)
        default: throw .badLine
        }
        guard words.count == 6 else { throw .badLine }
        let source = try endpoint(words[2], words[4], isIPv6: isIPv6)
        let destination = try endpoint(words[3], words[5], isIPv6: isIPv6)
        return Self(
            ends: Ends(source: source, destination: destination),
            byteCount: end + 1
        )
    }

    private static func endpoint(
        _ host: ArraySlice<UInt8>,
        _ port: ArraySlice<UInt8>,
        isIPv6: Bool
    ) throws(Malformed) -> Endpoint {
        // A scope's '%' is none of them.
        let letters = isIPv6 ? "0123456789abcdefABCDEF:." : "0123456789."
        guard host.allSatisfy({ letters.utf8.contains($0) }) else { throw .badAddress }
        guard let first = port.first, port.count == 1 || first != 0x30,
            port.allSatisfy({ (0x30...0x39).contains($0) }),
            let number = UInt16(String(decoding: port, as: UTF8.self))
        else { throw .badLine }
        return .literal(String(decoding: host, as: UTF8.self), isIPv6: isIPv6, port: number)
    }

    // MARK: Version 2

    private static func readBlock(_ bytes: [UInt8]) throws(Malformed) -> Self? {
        let fixed = signature.count + 4
        guard bytes.count >= fixed else { return nil }
        let byteCount = fixed + (Int(bytes[14]) << 8 | Int(bytes[15]))
        guard byteCount <= byteCountLimit else { throw .tooLong(byteCount: byteCount) }
        let addressByteCount: Int?
        switch bytes[12] {
        // LOCAL: the family is to be ignored.
        case 0x20: addressByteCount = nil
        case 0x21: addressByteCount = try Self.addressByteCount(bytes[13])
        default: throw .unknownCommand(bytes[12])
        }
        guard byteCount >= fixed + 2 * (addressByteCount ?? 0) else {
            throw .tooShort(byteCount: byteCount)
        }
        guard bytes.count >= byteCount else { return nil }
        let isStream = bytes[13] & 0x0f == 0x01
        guard let addressByteCount, isStream else { return Self(ends: nil, byteCount: byteCount) }
        let ends = bytes[fixed..<fixed + 2 * addressByteCount]
        return Self(ends: Self.ends(ends, isUnix: bytes[13] >> 4 == 3), byteCount: byteCount)
    }

    /// The bytes of one end, its port included; nil where no address is said.
    private static func addressByteCount(_ family: UInt8) throws(Malformed) -> Int? {
        guard family & 0x0f <= 2 else { throw .unknownFamily(family) }
        let byteCount: Int?
        switch family >> 4 {
        case 0: byteCount = nil
        case 1: byteCount = 4 + 2
        case 2: byteCount = 16 + 2
        case 3: byteCount = 108
        default: throw .unknownFamily(family)
        }
        return family & 0x0f == 0 ? nil : byteCount
    }

    /// Source and destination, then, where there are ports, both of these.
    private static func ends(_ bytes: ArraySlice<UInt8>, isUnix: Bool) -> Ends {
        let hosts = isUnix ? bytes : bytes.dropLast(4)
        let source = Array(hosts.prefix(hosts.count / 2))
        let destination = Array(hosts.suffix(hosts.count / 2))
        guard !isUnix else { return Ends(source: .unix(source), destination: .unix(destination)) }
        let ports = bytes.suffix(4).map { UInt16($0) }
        return Ends(
            source: .ip(source, port: ports[0] << 8 | ports[1]),
            destination: .ip(destination, port: ports[2] << 8 | ports[3])
        )
    }
}

extension ProxyHeader.Malformed: CustomStringConvertible {
    /// As the rest of a sentence about the peer.
    var description: String {
        switch self {
        case .notOne: "its first bytes are no PROXY header"
        case .unendedLine: "its PROXY line does not end by CR LF within 107 bytes"
        case .badLine: "its PROXY line is not one of TCP4, TCP6 or UNKNOWN"
        case .badAddress: "its PROXY header has an address that is none"
        case .unknownCommand(let byte): "its PROXY header has version and command \(hex(byte))"
        case .unknownFamily(let byte): "its PROXY header has family and protocol \(hex(byte))"
        case .tooShort(let byteCount):
            "its PROXY header is too short for its addresses: \(byteCount) bytes"
        case .tooLong(let byteCount):
            "its PROXY header is \(byteCount) bytes, more than \(ProxyHeader.byteCountLimit)"
        }
    }

    private func hex(_ byte: UInt8) -> String { "0x" + String(byte, radix: 16) }
}
