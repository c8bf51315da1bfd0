// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem

/// Connecting to a host that has several addresses: RFC 8305, "happy eyeballs".
///
/// The families take turns, the preferred one first. An attempt that has not failed lets the next
/// one begin 250 ms later, one that fails at once; the first that connects wins, and the others are
/// given up. A way that swallows packets costs 250 ms, not a time-out.
enum HappyEyeballs {
    /// RFC 8305, section 5: recommended.
    static let delay = Duration.milliseconds(250)

    /// Address families in turn, beginning with that of the first.
    static func order(_ addresses: [SocketAddress]) -> [SocketAddress] {
        guard let first = addresses.first else { return [] }
        var preferred = addresses.filter { $0.storage.isIPv6 == first.storage.isIPv6 }[...]
        var other = addresses.filter { $0.storage.isIPv6 != first.storage.isIPv6 }[...]
        var result: [SocketAddress] = []
        while !preferred.isEmpty || !other.isEmpty {
            if let next = preferred.popFirst() { result.append(next) }
            if let next = other.popFirst() { result.append(next) }
        }
        return result
    }

    private enum Event: Sendable {
        case connected(StreamChannel)
        case failed(any Error)
        /// The delay of the last attempt is over.
        case patienceEnded(Int)
    }

    /// The first channel that connects.
    ///
    /// - Throws: when there is one address its error, else one whose `causes` are all of them, in
    ///   the order in which they failed; `CancellationError`.
    static func connect(
        to host: String,
        _ addresses: [SocketAddress],
        _ attempt: @escaping @Sendable (SocketAddress) async throws -> StreamChannel
    ) async throws -> StreamChannel {
        let addresses = order(addresses)
        if addresses.count == 1 { return try await attempt(addresses[0]) }
        let (winner, failures) = await race(addresses, attempt)
        if let winner {
            guard Task.isCancelled else { return winner }
            winner.abort()
            await winner.close()
        }
        try Task.checkCancellation()
        throw NetworkError(
            failures.last?.kind ?? .other,
            "connect to '\(host)'",
            causes: failures,
            advice: "none of its \(addresses.count) addresses"
        )
    }

    private static func race(
        _ addresses: [SocketAddress],
        _ attempt: @escaping @Sendable (SocketAddress) async throws -> StreamChannel
    ) async -> (winner: StreamChannel?, failures: [NetworkError]) {
        await withTaskGroup(of: Event.self) { group in
            var (begun, failures) = (0, [NetworkError]())
            func begin(_ group: inout TaskGroup<Event>) {
                let number = begun
                guard number < addresses.count else { return }
                begun += 1
                group.addTask {
                    do { return .connected(try await attempt(addresses[number])) } catch {
                        return .failed(error)
                    }
                }
                guard begun < addresses.count else { return }
                group.addTask {
                    try? await Task.sleep(for: delay)
                    return .patienceEnded(number)
                }
            }
            begin(&group)
            var winner: StreamChannel?
            while let event = await group.next() {
                switch event {
                case .connected(let channel) where winner == nil:
                    winner = channel
                    group.cancelAll()
                // Two were as fast; nobody has used the second yet.
                case .connected(let channel):
                    channel.abort()
                    await channel.close()
                case .patienceEnded(let number):
                    if winner == nil, number == begun - 1, !Task.isCancelled { begin(&group) }
                case .failed(let error):
                    guard winner == nil, !Task.isCancelled else { break }
                    failures.append(
                        error as? NetworkError
                            ?? NetworkError(.other, "connect to", advice: "\(error)")
                    )
                    if failures.count == addresses.count { group.cancelAll() }
                    begin(&group)
                }
            }
            return (winner, failures)
        }
    }
}
