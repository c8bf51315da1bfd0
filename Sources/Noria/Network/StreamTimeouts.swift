// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem

/// What a stream's time-outs are counted from, as a value: events in, deadlines out.
///
/// A byte costs one store. No timer is moved when one comes: a timer fires, asks for its deadline
/// as it stands now, and is set again for the rest, at most once in each time-out's length.
struct StreamTimeouts {
    enum Kind: UInt {
        case idle, read, write
        /// What the handler has left for a last word, after one of the others.
        case farewell
    }

    /// In nanoseconds, each nil for none.
    private let idle: UInt64?
    private let read: UInt64?
    private let write: UInt64?
    private let linger: UInt64

    private var lastByte: UInt64
    private var messageBegan: UInt64?
    private var heldBackSince: UInt64?
    private var endedAt: UInt64?

    /// nil when there is nothing to time: the stream then only looks whether it has any.
    init?(_ limits: StreamLimits, now: UInt64) {
        func length(_ duration: Duration?) -> UInt64? { duration.map { UInt64($0.nanoseconds) } }
        guard limits.idleTimeout != nil || limits.readTimeout != nil || limits.writeTimeout != nil
        else { return nil }
        idle = length(limits.idleTimeout)
        read = length(limits.readTimeout)
        write = length(limits.writeTimeout)
        linger = UInt64(limits.lingerTimeout.nanoseconds)
        lastByte = now
    }

    /// A byte came or went.
    mutating func noteByte(_ now: UInt64) { lastByte = now }

    /// A reader waits for the rest of a message that began then.
    mutating func beginWait(forMessageSince began: UInt64) { messageBegan = began }

    /// A reader's wait has ended, with bytes or without.
    mutating func endWait(_ now: UInt64, hasBytes: Bool) {
        messageBegan = nil
        if hasBytes { lastByte = now }
    }

    /// Whether writers are held back: bytes stand above the mark, or a task waits to write.
    mutating func noteHeldBack(_ now: UInt64, _ isHeldBack: Bool) {
        heldBackSince = isHeldBack ? heldBackSince ?? now : nil
    }

    /// Bytes went, after which writers are still held back or not.
    mutating func noteProgress(_ now: UInt64, _ isHeldBack: Bool) {
        lastByte = now
        heldBackSince = isHeldBack ? now : nil
    }

    /// One of them was up.
    mutating func end(_ now: UInt64) { endedAt = now }

    /// When a time-out is up as things stand; nil when it does not run.
    func deadline(of kind: Kind) -> UInt64? {
        switch kind {
        case .idle: endedAt == nil ? Self.sum(lastByte, idle) : nil
        case .read: endedAt == nil ? Self.sum(messageBegan, read) : nil
        case .write: Self.sum(heldBackSince, write)
        case .farewell: Self.sum(endedAt, linger)
        }
    }

    private static func sum(_ begin: UInt64?, _ length: UInt64?) -> UInt64? {
        guard let begin, let length else { return nil }
        return begin.addingReportingOverflow(length).overflow ? .max : begin &+ length
    }
}

/// The time-outs of one stream, with a timer of each kind at most, in its order.
///
/// Apart, since most streams have none. Loop thread only. SAFETY (`@exclusivity(unchecked)`): no
/// access spans a call that reaches the same property again.
final class StreamTiming {
    @exclusivity(unchecked) var timeouts: StreamTimeouts
    @exclusivity(unchecked) var timers: InlineArray<4, TimerID?> = .init(repeating: nil)

    /// nil when there is nothing to time.
    init?(_ limits: StreamLimits, now: UInt64) {
        guard let timeouts = StreamTimeouts(limits, now: now) else { return nil }
        self.timeouts = timeouts
    }
}

extension StreamLimits {
    /// The sentence for whoever was timed out.
    func sentence(for kind: StreamTimeouts.Kind) -> String {
        func length(_ duration: Duration?) -> String { duration.map { "\($0)" } ?? "ever" }
        return switch kind {
        case .idle, .farewell: "no byte came or went for \(length(idleTimeout)) (idleTimeout)"
        case .read: "a begun message did not end within \(length(readTimeout)) (readTimeout)"
        case .write: "the peer took no byte for \(length(writeTimeout)) (writeTimeout)"
        }
    }

    /// Refuses limits that are none, where they are handed over.
    func check(_ operation: String, _ address: SocketAddress?) throws(NetworkError) {
        guard let problem else { return }
        throw NetworkError(.other, operation, address: address, advice: "limits: \(problem)")
    }

    /// What is wrong with the limits, as a sentence, or nil.
    var problem: String? {
        let timeouts = [
            ("idleTimeout", idleTimeout), ("readTimeout", readTimeout),
            ("writeTimeout", writeTimeout), ("proxyHeaderTimeout", proxyHeaderTimeout),
        ]
        for (name, timeout) in timeouts {
            if let timeout, timeout <= .zero {
                return "\(name) is \(timeout), and must be above 0; nil is for none"
            }
        }
        if lingerTimeout < .zero {
            return "lingerTimeout is \(lingerTimeout), and must not be below 0"
        }
        if let connectionLimit, connectionLimit < 1 {
            return "connectionLimit is \(connectionLimit), and must be above 0; nil is for none"
        }
        return nil
    }
}
