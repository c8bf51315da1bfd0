// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem

/// Finds the addresses of names, by the C library: /etc/hosts, DNS, and what nsswitch.conf says.
///
/// The look-ups have a pool of their own, of 16 threads at most, so they never wait behind calls
/// of the program, nor those behind them. Nothing is cached here: that is the business of a local
/// resolver (systemd-resolved, nscd), which knows how long an answer holds.
public struct Resolver: Sendable {
    private let pool: ThreadPool

    /// How long one look-up may take; what resolv.conf says, 5 s a try, often ends it before.
    static let timeout = Duration.seconds(10)

    init(_ pool: ThreadPool) { self.pool = pool }

    static func configuration(_ base: ThreadPool.Configuration) -> ThreadPool.Configuration {
        var configuration = base
        configuration.threadLimit = 4
        configuration.maximumThreadLimit = 16
        configuration.queueLimit = 1024
        configuration.whenFull = .suspend
        return configuration
    }

    /// The addresses of a host, in the order in which they are best tried (RFC 6724); at least one.
    ///
    /// A literal is answered at once, on the calling thread. A look-up that is under way can't be
    /// stopped: whoever is cancelled, or waits for longer than 10 s, goes on without it, and its
    /// answer is dropped.
    ///
    /// - Throws: `NetworkError`: `.unknownHost`, `.badAddress` for a port outside 0 to 65,535 or a
    ///   name that can't be one, `.timedOut`, `.other` when no server answers;
    ///   `CancellationError`.
    public func addresses(of host: String, port: Int) async throws -> [SocketAddress] {
        try await addresses(of: host, port: port, within: Self.timeout)
    }

    /// The same within some time, at most as long as any look-up.
    func addresses(
        of host: String,
        port: Int,
        within timeout: Duration
    ) async throws -> [SocketAddress] {
        if let literal = try Self.literal(host, port: port) { return [literal] }
        guard let number = UInt16(exactly: port) else { return [] }
        let operation = "look up '\(host)'"
        do {
            let found = try await pool.runLeavingBehind(
                name: operation,
                within: min(timeout, Self.timeout)
            ) {
                try NameLookup.addresses(of: host, port: number)
            }
            guard !found.isEmpty else { throw NameLookup.Failure.unknown("no address") }
            return found.map(SocketAddress.init)
        } catch let error as NameLookup.Failure {
            throw Self.error(error, operation)
        } catch let error as ThreadPoolError {
            guard error.kind == .timedOut else {
                throw NetworkError(.other, operation, advice: "\(error)")
            }
            throw NetworkError(
                .timedOut,
                operation,
                advice: "no answer within \(min(timeout, Self.timeout))"
            )
        }
    }

    /// The address that a text is; nil when it may be a name.
    static func literal(_ host: String, port: Int) throws(NetworkError) -> SocketAddress? {
        do throws(NetworkError) { return try SocketAddress.ip(host, port: port) } catch {
            // Something with a colon, or of digits alone, is a literal that went wrong.
            let isNumber = host.utf8.allSatisfy { $0 == 0x2E || (0x30...0x39).contains($0) }
            guard (0...65_535).contains(port), !isNumber, !host.contains(":") else { throw error }
            guard isName(host) else {
                throw SocketAddress.notAnAddress(
                    host,
                    "a name has letters, digits, hyphens and dots, 63 bytes at most between two"
                        + " dots and 253 in all"
                )
            }
            return nil
        }
    }

    /// RFC 1123, and underscores, which some names have all the same.
    private static func isName(_ host: String) -> Bool {
        let name = host.hasSuffix(".") ? host.dropLast() : host[...]
        guard (1...253).contains(name.utf8.count) else { return false }
        return name.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            (1...63).contains(label.utf8.count)
                && label.utf8.allSatisfy {
                    switch $0 {
                    case 0x61...0x7A, 0x41...0x5A, 0x30...0x39, 0x2D, 0x5F: true
                    default: false
                    }
                }
        }
    }

    private static func error(_ failure: NameLookup.Failure, _ operation: String) -> NetworkError {
        switch failure {
        case .unknown(let text): NetworkError(.unknownHost, operation, advice: text)
        case .temporary(let text):
            NetworkError(
                .other,
                operation,
                advice: "\(text): no name server answers; look at /etc/resolv.conf"
            )
        case .other(let text): NetworkError(.other, operation, advice: text)
        }
    }
}
