// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
public import SystemPackage

extension SocketAddress {
    /// The address of a path in the file system, at most 107 bytes of it.
    ///
    /// A relative path is meant from the process's folder of the moment, at each use.
    ///
    /// - Throws: `.badAddress` for a path that is empty or too long.
    public static func unix(_ path: FilePath) throws(NetworkError) -> Self {
        let bytes = path.withPlatformString {
            Array(UnsafeBufferPointer(start: $0, count: path.length))
        }
        return try UnixAddress.path(bytes.map(UInt8.init(bitPattern:)), from: "\(path)")
    }

    /// The address of a name, at most 107 bytes as UTF-8, that exists while somebody listens on it.
    ///
    /// No file stands for it and no mode guards it: whoever is in the same network namespace may
    /// connect. `UnixConnection.peerCredentials` says who did.
    ///
    /// - Throws: `.badAddress` for a name that is empty, too long or has a zero byte in it.
    public static func abstract(_ name: String) throws(NetworkError) -> Self {
        try UnixAddress.abstract(Array(name.utf8), from: "@\(name)")
    }

    var isUnix: Bool { storage.isUnix }
}

/// How Unix addresses are written, and read again.
///
/// A path or name is bytes of any kind, those of a peer included, and stands in one line of a log:
/// so what is no printable text is written as `\xNN`. A path whose first byte would be taken for
/// the sign of another kind of address has that one written so.
enum UnixAddress {
    static let prefix = "unix:"
    private static let unnamed = "(unnamed)"

    static func read(_ text: String) throws(NetworkError) -> SocketAddress {
        let name = Array(text.utf8.dropFirst(prefix.utf8.count))
        switch name.first {
        case UInt8(ascii: "@"): return try abstract(unescape(name.dropFirst(), text), from: text)
        case UInt8(ascii: "("):
            throw SocketAddress.notAnAddress(text, "write a path that begins so as unix:./(")
        default: return try path(unescape(name[...], text), from: text)
        }
    }

    static func path(_ bytes: [UInt8], from text: String) throws(NetworkError) -> SocketAddress {
        guard let storage = SocketStorage(unixPath: bytes) else {
            throw notAName(bytes, "path", text)
        }
        return SocketAddress(storage)
    }

    static func abstract(
        _ bytes: [UInt8],
        from text: String
    ) throws(NetworkError) -> SocketAddress {
        guard let storage = SocketStorage(abstract: bytes) else {
            throw notAName(bytes, "abstract name", text)
        }
        return SocketAddress(storage)
    }

    private static func notAName(_ bytes: [UInt8], _ what: String, _ text: String) -> NetworkError {
        let limit = SocketStorage.unixNameLimit
        let reason =
            bytes.isEmpty
            ? "the \(what) is empty"
            : bytes.contains(0)
                ? "the \(what) has a zero byte in it"
                : "the \(what) has \(bytes.count) bytes, and the limit is \(limit)"
        return SocketAddress.notAnAddress(text, reason)
    }

    private static func unescape(
        _ bytes: ArraySlice<UInt8>,
        _ text: String
    ) throws(NetworkError) -> [UInt8] {
        var result: [UInt8] = []
        var rest = bytes
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "\\") else {
                result.append(byte)
                continue
            }
            let digits = rest.dropFirst().prefix(2)
            guard rest.first == UInt8(ascii: "x"), digits.count == 2,
                let high = hexDigit(digits.first), let low = hexDigit(digits.last)
            else { throw SocketAddress.notAnAddress(text, #"write a backslash as \x5c"#) }
            result.append(high << 4 | low)
            rest = rest.dropFirst(3)
        }
        return result
    }

    private static func hexDigit(_ byte: UInt8?) -> UInt8? {
        byte.flatMap { Character(Unicode.Scalar($0)).hexDigitValue }.map(UInt8.init)
    }

    // MARK: Writing

    static func text(_ name: SocketStorage.UnixName) -> String {
        switch name {
        case .unnamed: return prefix + unnamed
        case .abstract(let bytes): return prefix + "@" + escape(bytes[...])
        case .path(let bytes):
            guard let first = bytes.first, first == UInt8(ascii: "@") || first == UInt8(ascii: "(")
            else { return prefix + escape(bytes[...]) }
            return prefix + escaped(first) + escape(bytes.dropFirst())
        }
    }

    private static func escape(_ bytes: ArraySlice<UInt8>) -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            return bytes.map { isPlain(Unicode.Scalar($0)) && $0 < 0x80 ? plain($0) : escaped($0) }
                .joined()
        }
        return text.unicodeScalars.map { scalar in
            isPlain(scalar)
                ? "\(scalar)" : UTF8.encode(scalar).map { $0.map(escaped).joined() } ?? ""
        }.joined()
    }

    private static func plain(_ byte: UInt8) -> String { String(Unicode.Scalar(byte)) }

    /// Whether it can stand in a log as it is: no control, no end of a line, no change of direction.
    private static func isPlain(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .surrogate,
            .unassigned:
            false
        default: scalar != "\\"
        }
    }

    private static func escaped(_ byte: UInt8) -> String {
        let digits = String(byte, radix: 16)
        return digits.count == 1 ? "\\x0\(digits)" : "\\x\(digits)"
    }
}
