// SPDX-License-Identifier: Apache-2.0

/// What the specification of the PROXY protocol says of the bytes of a connection, slow and plain.
enum HeaderModel {
    enum Answer: Equatable {
        case header(ProxyHeader)
        case refused
    }

    /// nil where more bytes are needed.
    static func answer(_ bytes: [UInt8]) -> Answer? {
        let signature: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10]
        if bytes.starts(with: signature) { return block(bytes) }
        if bytes.starts(with: Array("PROXY ".utf8)) { return line(bytes) }
        if signature.starts(with: bytes) || Array("PROXY ".utf8).starts(with: bytes) { return nil }
        return .refused
    }

    // MARK: Version 1

    private static func line(_ bytes: [UInt8]) -> Answer? {
        // Latin-1, so that each byte is a letter; a Character would make one of CR LF.
        let text = bytes.prefix(107).map { Unicode.Scalar($0) }
        guard let end = text.firstIndex(of: "\n") else { return text.count == 107 ? .refused : nil }
        guard text[end - 1] == "\r" else { return .refused }
        var words = [""]
        for scalar in text[..<(end - 1)] {
            if scalar == " " {
                words.append("")
            } else {
                words[words.count - 1].unicodeScalars.append(scalar)
            }
        }
        if words[1] == "UNKNOWN" { return .header(ProxyHeader(ends: nil, byteCount: end + 1)) }
        guard words.count == 6, words[1] == "TCP4" || words[1] == "TCP6" else { return .refused }
        let isIPv6 = words[1] == "TCP6"
        guard let source = endpoint(words[2], words[4], isIPv6),
            let destination = endpoint(words[3], words[5], isIPv6)
        else { return .refused }
        let ends = ProxyHeader.Ends(source: source, destination: destination)
        return .header(ProxyHeader(ends: ends, byteCount: end + 1))
    }

    private static func endpoint(
        _ host: String,
        _ port: String,
        _ isIPv6: Bool
    ) -> ProxyHeader.Endpoint? {
        for scalar in host.unicodeScalars {
            switch scalar {
            case "0"..."9", ".": continue
            case "a"..."f", "A"..."F", ":": if !isIPv6 { return nil }
            default: return nil
            }
        }
        // Written again it is the same: no sign, no zero in front.
        guard let number = Int(port), "\(number)" == port, (0...65_535).contains(number) else {
            return nil
        }
        return .literal(host, isIPv6: isIPv6, port: UInt16(number))
    }

    // MARK: Version 2

    private static func block(_ bytes: [UInt8]) -> Answer? {
        guard bytes.count >= 16 else { return nil }
        let byteCount = 16 + Int(bytes[14]) * 256 + Int(bytes[15])
        guard byteCount <= 536, bytes[12] == 0x20 || bytes[12] == 0x21 else { return .refused }
        var addresses = 0
        if bytes[12] == 0x21 {
            switch bytes[13] {
            case 0x00, 0x01, 0x02, 0x10, 0x20, 0x30: addresses = 0
            case 0x11, 0x12: addresses = 12
            case 0x21, 0x22: addresses = 36
            case 0x31, 0x32: addresses = 216
            default: return .refused
            }
        }
        guard byteCount >= 16 + addresses else { return .refused }
        guard bytes.count >= byteCount else { return nil }
        let rest = Array(bytes[16...])
        func port(_ index: Int) -> UInt16 { UInt16(rest[index]) * 256 + UInt16(rest[index + 1]) }
        let ends: ProxyHeader.Ends?
        switch (bytes[12], bytes[13]) {
        case (0x21, 0x11):
            ends = ProxyHeader.Ends(
                source: .ip(Array(rest[0..<4]), port: port(8)),
                destination: .ip(Array(rest[4..<8]), port: port(10))
            )
        case (0x21, 0x21):
            ends = ProxyHeader.Ends(
                source: .ip(Array(rest[0..<16]), port: port(32)),
                destination: .ip(Array(rest[16..<32]), port: port(34))
            )
        case (0x21, 0x31):
            ends = ProxyHeader.Ends(
                source: .unix(Array(rest[0..<108])),
                destination: .unix(Array(rest[108..<216]))
            )
        default: ends = nil
        }
        return .header(ProxyHeader(ends: ends, byteCount: byteCount))
    }
}
