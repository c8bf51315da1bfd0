// SPDX-License-Identifier: Apache-2.0

/// The live tasks in words, whatever their number: how many of each name, and the oldest.
struct TaskReport {
    let lines: [String]

    private static let nameLimit = 100
    private static let oldestLimit = 20

    /// The oldest first.
    init(_ tasks: [TaskSnapshot]) {
        var counts: [String: Int] = [:]
        for task in tasks { counts[task.name ?? "", default: 0] += 1 }
        let names = counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
        var lines = ["\(tasks.count) live, \(tasks.count(where: \.isCancelled)) of them cancelled"]
        for (name, count) in names.prefix(Self.nameLimit) {
            lines.append("\(count) × \(name.isEmpty ? "without a name" : "'\(name)'")")
        }
        if names.count > Self.nameLimit {
            let rest = names.dropFirst(Self.nameLimit).reduce(0) { $0 + $1.value }
            lines.append("\(rest) × \(names.count - Self.nameLimit) more names")
        }
        for task in tasks.prefix(Self.oldestLimit) { lines.append(Self.line(task)) }
        self.lines = lines
    }

    private static func line(_ task: TaskSnapshot) -> String {
        let name = task.name.map { " '\($0)'" } ?? ""
        let tenths = Int(task.ageSeconds * 10)
        let place = task.eventLoop.map { "loop \($0)" } ?? "no loop"
        let mark = task.isCancelled ? ", cancelled" : ""
        let origin = task.origin.map { ", made by \($0)" } ?? ""
        let calls = task.stack.map { "\n    \($0)" }.joined()
        return
            "task \(task.id)\(name): \(tenths / 10).\(tenths % 10) s, \(place)\(mark)\(origin)\(calls)"
    }
}
