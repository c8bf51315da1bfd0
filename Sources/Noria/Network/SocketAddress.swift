// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem

/// Where a socket is: an IPv4 or IPv6 address with its port, a Unix path or abstract name.
///
/// Made from literals alone, it never asks a name server. What is written reads as the same address
/// again, but for two that only a peer can have: no name at all, and an abstract one with a zero
/// byte in it.
public struct SocketAddress: Hashable, Sendable, CustomStringConvertible {
    /// Apart, since 116 bytes in line would stand in the frame of every task that may fail with it.
    private let box: Box

    private final class Box: Sendable {
        let storage: SocketStorage
        init(_ storage: SocketStorage) { self.storage = storage }
    }

    init(_ storage: SocketStorage) { box = Box(storage) }

    var storage: SocketStorage { box.storage }

    /// Whether both name the same place.
    public static func == (left: Self, right: Self) -> Bool { left.storage == right.storage }

    /// Hashes the place.
    public func hash(into hasher: inout Hasher) { hasher.combine(storage) }

    /// Reads `127.0.0.1:80`, `[::1]:80`, `unix:/run/x` or `unix:@name`.
    ///
    /// In what follows `unix:` a byte may be written as `\xNN`, and a backslash must be.
    ///
    /// - Throws: `.badAddress` for anything else, names of hosts included.
    public init(_ text: String) throws(NetworkError) {
        if text.utf8.starts(with: UnixAddress.prefix.utf8) {
            self = try UnixAddress.read(text)
            return
        }
        let form = "write it as 127.0.0.1:80 or [::1]:80"
        guard let colon = text.lastIndex(of: ":") else { throw Self.notAnAddress(text, form) }
        let digits = text[text.index(after: colon)...]
        guard digits.allSatisfy({ $0.isASCII && $0.isNumber }), let port = Int(digits) else {
            throw Self.notAnAddress(text, form)
        }
        var host = text[..<colon]
        if host.first == "[", host.last == "]" {
            guard host.contains(":") else { throw Self.notAnAddress(text, form) }
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            throw Self.notAnAddress(text, "an IPv6 address with a port needs brackets: [::1]:80")
        }
        self = try .read(String(host), port: port, from: text)
    }

    /// An address from a literal such as `127.0.0.1` or `::1` and a port, 0 to 65,535.
    ///
    /// - Throws: `.badAddress` for a name, or a port outside the range.
    public static func ip(_ literal: String, port: Int) throws(NetworkError) -> Self {
        try read(literal, port: port)
    }

    /// The error names `text`, which both were read from, or else the one that is wrong.
    private static func read(
        _ literal: String,
        port: Int,
        from text: String? = nil
    ) throws(NetworkError) -> Self {
        guard let number = UInt16(exactly: port) else {
            throw notAnAddress(text ?? "\(literal):\(port)", "a port is a number from 0 to 65535")
        }
        guard let storage = SocketStorage(literal: literal, port: number) else {
            throw notAnAddress(
                text ?? literal,
                "write an IPv4 or IPv6 literal, as 127.0.0.1 or ::1; a listener and a connection"
                    + " take names, too"
            )
        }
        return Self(storage)
    }

    static func notAnAddress(_ text: String, _ advice: String) -> NetworkError {
        NetworkError(.badAddress, "read the address '\(text)'", advice: advice)
    }

    /// The port of an IP address; nil for a Unix one.
    public var port: Int? { storage.port.map(Int.init) }

    /// The address as it is written, always in one line: `127.0.0.1:80`, `[::1]:80`, `unix:/run/x`,
    /// `unix:@name`; `unix:(unnamed)` for a peer without a name.
    public var description: String {
        if let name = storage.unixName { return UnixAddress.text(name) }
        let host = storage.isIPv6 ? "[\(storage.host)]" : storage.host
        return "\(host):\(port ?? 0)"
    }
}
