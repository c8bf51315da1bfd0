// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
internal import SystemPackage

/// Reports which descriptors may be read or written.
///
/// The contract: a descriptor is added once, for all that it will be used for. An *edge* is reported when a
/// direction becomes ready, and when it is ready as the descriptor is added; further reports of
/// the same edge are allowed, a missing one is not. After `rearm` the next readiness is an edge
/// again. A descriptor is removed before it is closed, since a copy of it may keep the file alive.
protocol Selector: AnyObject {
    var kind: BackendKind { get }
    /// Whether it has to be told that a direction was exhausted.
    var isLevelTriggered: Bool { get }
    func add(_ fd: Int32, for directions: Readiness, cookie: UInt64) throws(Errno)
    func remove(_ fd: Int32)
    /// The direction was found exhausted. Edge-triggered interfaces are not told.
    func rearm(_ fd: Int32, _ direction: Readiness)
    /// Waits: the number of events, or a negative error.
    func wait(nanoseconds: Int64) -> Int
    /// The events of the last wait, each with the cookie of its descriptor.
    var events: ReadinessEvents { get }
}

/// What may be done with a descriptor without waiting.
struct Readiness: OptionSet {
    let rawValue: UInt8

    static let readable = Readiness(rawValue: 1)
    static let writable = Readiness(rawValue: 2)
    /// An end or an error may lie behind the data: RDHUP, HUP, ERR, PRI.
    ///
    /// A short read does not end the edge then, or the end would be lost.
    static let hungUp = Readiness(rawValue: 4)

    var isReadable: Bool { contains(.readable) }
    var isWritable: Bool { contains(.writable) }
}

extension Readiness {
    /// Reads the bits of an event, which are the same for epoll and poll.
    init(bits: UInt32) {
        typealias Bits = ReadinessEvents.Bits
        let reads = bits & (Bits.readable | Bits.ends) != 0 ? Readiness.readable.rawValue : 0
        let writes = bits & (Bits.writable | Bits.failures) != 0 ? Readiness.writable.rawValue : 0
        let ends = bits & Bits.ends != 0 ? Readiness.hungUp.rawValue : 0
        self.init(rawValue: reads | writes | ends)
    }
}
