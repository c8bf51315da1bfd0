// SPDX-License-Identifier: Apache-2.0
import CNetworkNames

/// What an address with a port says, read slowly and without the C library.
///
/// It knows RFC 4291 §2.2 and the scopes of RFC 4007 §11, as bytes: no character has two of them.
/// Unix addresses are another model's: `UnixModel`.
struct AddressModel {
    let port: UInt16
    /// The host as `SocketAddress.ip` takes it, in its plainest spelling.
    let host: String
    /// The host with its port, in the plainest spelling.
    var spelling: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// Nil when the text is no address.
    init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard let colon = bytes.lastIndex(of: UInt8(ascii: ":")),
            let port = Self.number(bytes[(colon + 1)...], upTo: UInt64(UInt16.max))
        else { return nil }
        self.port = UInt16(port)
        let host = bytes[..<colon]
        if host.first == UInt8(ascii: "["), host.last == UInt8(ascii: "]"), host.count > 1 {
            guard let spelling = Self.ipv6(host.dropFirst().dropLast()) else { return nil }
            self.host = spelling
        } else {
            guard let numbers = Self.ipv4(host) else { return nil }
            self.host = numbers.map { "\($0)" }.joined(separator: ".")
        }
    }

    private static func ipv6(_ text: ArraySlice<UInt8>) -> String? {
        let parts = text.split(
            separator: UInt8(ascii: "%"),
            maxSplits: 1,
            omittingEmptySubsequences: false
        )
        guard let groups = groups(parts[0]) else { return nil }
        let literal = groups.map { String($0, radix: 16) }.joined(separator: ":")
        guard parts.count == 2 else { return literal }
        if parts[1].elementsEqual(NETWORK_NAMES_INTERFACE.utf8) {
            return "\(literal)%\(NETWORK_NAMES_INTERFACE_INDEX)"
        }
        return number(parts[1], upTo: UInt64(UInt32.max)).map { "\(literal)%\($0)" }
    }

    /// The eight groups of an IPv6 literal.
    private static func groups(_ text: ArraySlice<UInt8>) -> [UInt64]? {
        let colon = UInt8(ascii: ":")
        for start in text.indices.dropLast() where text[start] == colon && text[start + 1] == colon
        {
            // The first "::" stands for one group of zero or more; the sides have no further one.
            let before = text[..<start].isEmpty ? [] : side(text[..<start], isLast: false)
            let rest = text[(start + 2)...]
            let after = rest.isEmpty ? [] : side(rest, isLast: true)
            guard let before, let after, before.count + after.count < 8 else { return nil }
            let zeros = [UInt64](repeating: 0, count: 8 - before.count - after.count)
            return before + zeros + after
        }
        guard let groups = side(text, isLast: true), groups.count == 8 else { return nil }
        return groups
    }

    /// Groups with single colons between; the last two may be written as an IPv4 literal.
    private static func side(_ text: ArraySlice<UInt8>, isLast: Bool) -> [UInt64]? {
        var groups: [UInt64] = []
        let parts = text.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        for (index, part) in parts.enumerated() {
            if isLast, index == parts.count - 1, let ipv4 = ipv4(part) {
                groups += [ipv4[0] << 8 | ipv4[1], ipv4[2] << 8 | ipv4[3]]
            } else {
                let digits = String(decoding: part, as: UTF8.self)
                guard (1...4).contains(part.count), digits.first?.isHexDigit == true,
                    let group = UInt64(digits, radix: 16)
                else { return nil }
                groups.append(group)
            }
        }
        return groups
    }

    /// The four numbers of an IPv4 literal; a leading zero would be octal elsewhere.
    private static func ipv4(_ text: ArraySlice<UInt8>) -> [UInt64]? {
        let parts = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var numbers: [UInt64] = []
        for part in parts {
            guard let number = number(part, upTo: 255),
                part.count == 1 || part.first != UInt8(ascii: "0")
            else { return nil }
            numbers.append(number)
        }
        return numbers
    }

    /// Decimal digits and nothing else.
    private static func number(_ digits: ArraySlice<UInt8>, upTo limit: UInt64) -> UInt64? {
        guard !digits.isEmpty else { return nil }
        var number: UInt64 = 0
        for digit in digits {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
            number = number * 10 + UInt64(digit - UInt8(ascii: "0"))
            guard number <= limit else { return nil }
        }
        return number
    }
}
