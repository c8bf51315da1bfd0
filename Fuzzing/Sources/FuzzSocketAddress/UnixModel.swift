// SPDX-License-Identifier: Apache-2.0

/// What a Unix address says, read byte by byte as a machine of states.
struct UnixModel {
    let isAbstract: Bool
    let name: [UInt8]
    /// The same with every byte written in digits.
    var spelling: String {
        let digits = name.map { byte in
            "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
        }
        return (isAbstract ? "unix:@" : "unix:") + digits.joined()
    }

    static let prefix = Array("unix:".utf8)

    private enum State {
        case plain, backslash, x
        case digit(UInt8)
    }

    /// Nil when the text is no Unix address.
    init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard bytes.count > Self.prefix.count, bytes.starts(with: Self.prefix) else { return nil }
        let sign = bytes[Self.prefix.count]
        if sign == UInt8(ascii: "(") { return nil }
        isAbstract = sign == UInt8(ascii: "@")
        var state = State.plain
        var name: [UInt8] = []
        for byte in bytes[(Self.prefix.count + (isAbstract ? 1 : 0))...] {
            switch state {
            case .plain where byte == UInt8(ascii: "\\"): state = .backslash
            case .plain: name.append(byte)
            case .backslash:
                guard byte == UInt8(ascii: "x") else { return nil }
                state = .x
            case .x:
                guard let high = Self.value(byte) else { return nil }
                state = .digit(high)
            case .digit(let high):
                guard let low = Self.value(byte) else { return nil }
                name.append(high * 16 + low)
                state = .plain
            }
        }
        guard case .plain = state, !name.isEmpty, name.count < 108, !name.contains(0) else {
            return nil
        }
        self.name = name
    }

    private static func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
