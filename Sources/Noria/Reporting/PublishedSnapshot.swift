// SPDX-License-Identifier: Apache-2.0
internal import FoundationEssentials
internal import NoriaSystem
internal import SystemPackage

/// What a runtime shows to other processes: its snapshot, and what it knows of itself.
///
/// It stands in memory that has a name, and is read through /proc/PID/fd by who may read that:
/// the process's user and root. Nobody asks the process, so one whose loops are blocked, or that is
/// stopped, is seen as well; the time in it says how old it is.
package struct PublishedSnapshot: Codable, Sendable {
    /// The name of the memory, as /proc shows it: `/memfd:noria-snapshot (deleted)`.
    static let name = "noria-snapshot"

    /// When it was written, in nanoseconds of CLOCK_MONOTONIC.
    package let writtenAt: UInt64
    /// The process, by its own number: one that was forked off shows its parent's.
    package let processID: Int32
    package let isEmbedded: Bool
    package let isDebug: Bool
    package let shutdownDeadlineSeconds: Double
    /// `log`, `shutDown` or `own`.
    package let uncaughtErrorHandler: String
    /// What the runtime has found of itself when it began.
    package let checks: [ProductionCheck]
    package let snapshot: RuntimeSnapshot

    init(_ runtime: Runtime, _ checks: [ProductionCheck]) {
        let configuration = runtime.configuration
        writtenAt = MonotonicClock.now
        processID = Thread.processID
        isEmbedded = runtime.isEmbedded
        isDebug = configuration.diagnostics.debug == .on
        shutdownDeadlineSeconds = configuration.shutdown.deadline / .seconds(1)
        uncaughtErrorHandler =
            switch configuration.diagnostics.uncaughtErrors.action {
            case .log: "log"
            case .shutDown: "shutDown"
            case .call: "own"
            }
        self.checks = checks
        snapshot = runtime.snapshot()
    }

    // MARK: The bytes

    /// `noria-snapshot 1 LENGTH CHECKSUM`, a line of fixed length, then as many bytes of JSON.
    ///
    /// A reader may come while they are written, which is no single step for the kernel: the check
    /// sum then differs, and it reads once more.
    private static let headLength = 17 + 9 + 17
    private static let head = "noria-snapshot 1 "

    var bytes: [UInt8] {
        get throws {
            let encoder = JSONEncoder()
            let json = [UInt8](try encoder.encode(self))
            let numbers = "\(Self.hex(json.count, 8)) \(Self.hex(Self.checksum(json), 16))\n"
            return Array(Self.head.utf8) + Array(numbers.utf8) + json
        }
    }

    /// What the bytes hold; nil while they are being written, or before.
    ///
    /// - Throws: when they are whole, and of a version that this one does not know.
    static func read(_ bytes: [UInt8]) throws(Machine.Unseen) -> Self? {
        guard bytes.count >= headLength else { return nil }
        let line = String(decoding: bytes[..<headLength], as: UTF8.self)
        guard line.hasPrefix(head) else {
            throw Machine.Unseen(reason: "the snapshot begins with '\(line.prefix(17).trimmed)'")
        }
        let words = line.dropFirst(head.count).split(whereSeparator: \.isWhitespace)
        guard words.count == 2, let length = Int(words[0], radix: 16),
            let sum = UInt64(words[1], radix: 16), (0...bytes.count - headLength).contains(length)
        else { return nil }
        let json = bytes[headLength..<headLength + length]
        guard checksum(json) == sum else { return nil }
        guard let value = try? JSONDecoder().decode(Self.self, from: Data(json)) else {
            throw Machine.Unseen(
                reason: "the snapshot is of another version of Noria: use the 'noria' of that one"
            )
        }
        return value
    }

    private static func hex(_ number: some BinaryInteger, _ width: Int) -> String {
        let text = String(number, radix: 16)
        return String(repeating: "0", count: max(0, width - text.count)) + text
    }

    /// FNV-1a, 64 bits.
    static func checksum(_ bytes: some Sequence<UInt8>) -> UInt64 {
        bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }
}

/// Where the watchdog writes the snapshot, once a second at most; its thread's own.
struct SnapshotPublisher: ~Copyable {
    private static let period: UInt64 = 1_000_000_000

    private let fd: Int32
    private var nextTime: UInt64 = 0

    /// Nil where there is no descriptor left for it, or the kernel has no such memory.
    init?() {
        guard let fd = try? Descriptor.memory(named: PublishedSnapshot.name) else { return nil }
        self.fd = fd
    }

    deinit { Descriptor.close(fd) }

    /// A limit for files may refuse it, and then there is none.
    mutating func look(_ now: UInt64, _ runtime: Runtime, _ checks: [ProductionCheck]) {
        guard now >= nextTime else { return }
        nextTime = now &+ Self.period
        // Numbers, words and lists of them: none of it can fail to be written.
        guard let bytes = try? PublishedSnapshot(runtime, checks).bytes else { return }
        _ = try? bytes.withUnsafeBytes { try Files.write(fd, $0, at: 0) }
    }
}
