// SPDX-License-Identifier: Apache-2.0
internal import CNoria
internal import NoriaSystem

/// A task that was live when it was looked at.
public struct TaskSnapshot: Codable, Sendable, Hashable {
    /// Its number, counted over the life of the process.
    public let id: UInt64
    /// Its name, the first 63 bytes of it; nil when it has none.
    public let name: String?
    /// How long ago it was made.
    public let ageSeconds: Double
    /// The loop that it was made for, or else on; nil for one of other threads.
    public let eventLoop: Int?
    /// Whether it was cancelled.
    public let isCancelled: Bool
    /// Where it was made; only the debug mode knows, of the 100 oldest.
    public let origin: String?
    /// Where it waits, the innermost first; only the debug mode knows, of the 100 oldest.
    public let stack: [String]
}

extension Runtime {
    /// The live tasks, the oldest first: those made by a plain `Task { }`, detached and spawned ones,
    /// and those of the runtime itself (their names begin with `noria`); no child tasks.
    ///
    /// Empty without `diagnostics.tracksTasks`, and in programs that link Swift statically without
    /// the flags that `noria doctor` names. An embedded runtime lists what was made on its loops.
    /// No loop stops for it.
    ///
    /// Any thread.
    public func tasks() -> [TaskSnapshot] {
        let now = MonotonicClock.now
        let homes = homes
        let records = TaskHook.records().sorted { $0.made < $1.made }
        return records.enumerated().map { index, record in
            let debugWatch = index < Self.followedCount ? debugWatch : nil
            return TaskSnapshot(
                id: record.id,
                name: record.name(),
                ageSeconds: Double(now - min(now, record.made)) / 1e9,
                eventLoop: record.home.flatMap { homes[$0] },
                isCancelled: record.is_cancelled,
                origin: debugWatch?.caller(record.site),
                stack: debugWatch?.stack(record) ?? []
            )
        }
    }

    /// Of how many tasks the debug mode tells where they come from and wait: giving addresses their
    /// names takes time.
    private static let followedCount = 100

    /// The loops' numbers by what a record may name them.
    private var homes: [UnsafeRawPointer: Int] {
        var homes: [UnsafeRawPointer: Int] = [:]
        for loop in eventLoops {
            for object in [loop, loop.serial, loop.tasks] as [AnyObject] {
                // SAFETY: addresses to compare with, which nobody follows.
                homes[UnsafeRawPointer(Unmanaged.passUnretained(object).toOpaque())] = loop.index
            }
        }
        return homes
    }
}

extension noria_task_record {
    /// `'name' (task 7)`, or `7` for one without a name.
    var label: String { name().map { "'\($0)' (\(id))" } ?? "\(id)" }

    func name() -> String? {
        guard has_name else { return nil }
        return withUnsafeBytes(of: name) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
    }
}
