// SPDX-License-Identifier: Apache-2.0

/// The TCP sockets of a network namespace, as far as they matter here: /proc/PID/net/tcp and tcp6.
struct SocketTable: Sendable {
    /// Of each table, at most: some 200,000 sockets.
    static let byteCountLimit = 32 << 20

    /// Sockets whose peer has closed, and whose program has not: by inode.
    private(set) var closeWait: Set<UInt64> = []
    /// The ports on which a socket listens: by inode.
    private(set) var listening: [UInt64: Int] = [:]
    /// Sockets in TIME_WAIT, which belong to nobody, by their port here.
    private(set) var timeWait: [Int: Int] = [:]
    /// Why it is not the whole table, or nil.
    private(set) var gap: String?

    /// A line: `12: 0100007F:1F90 00000000:0000 0A … INODE …`, spaces in front of it.
    mutating func add(_ bytes: [UInt8], from path: String) {
        if bytes.count >= Self.byteCountLimit {
            gap = "only the first \(Self.byteCountLimit.inBytes) of \(path) were read"
        }
        for line in bytes.split(separator: UInt8(ascii: "\n")).dropFirst() {
            let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 10)
            guard fields.count > 9, let state = Self.number(fields[3], radix: 16) else { continue }
            switch state {
            case 6: if let port = Self.port(fields[1]) { timeWait[port, default: 0] += 1 }
            case 8: if let inode = Self.number(fields[9]) { closeWait.insert(UInt64(inode)) }
            case 10:
                guard let inode = Self.number(fields[9]), let port = Self.port(fields[1]) else {
                    continue
                }
                listening[UInt64(inode)] = port
            default: break
            }
        }
    }

    private static func port(_ address: ArraySlice<UInt8>) -> Int? {
        number(address.suffix(4), radix: 16)
    }

    private static func number(_ bytes: ArraySlice<UInt8>, radix: Int = 10) -> Int? {
        Int(String(decoding: bytes, as: UTF8.self), radix: radix).flatMap { $0 < 0 ? nil : $0 }
    }
}
