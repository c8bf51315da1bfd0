// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem

/// What `noria doctor --pid` says of a live process, from /proc alone.
///
/// Nothing is attached, sent or changed. Its JSON is an interface: names of keys and of rows stay,
/// new ones may join.
package struct ProcessReport: Codable, Sendable {
    package let processID: Int32
    package let name: String
    package let commandLine: [String]
    /// The number of the user, and the name where it is known.
    package let user: String
    package let kind: ProcessKind
    /// How the kind was told.
    package let evidence: String
    /// The four steps, and below them the limits.
    package let steps: [ProcessRow]
    package let limits: [ProcessRow]
    /// Of a Noria process; `snapshotAgeSeconds` is how long ago it was written.
    package let snapshot: PublishedSnapshot?
    package let snapshotAgeSeconds: Double?

    /// Looks at the process for a little more than a second.
    ///
    /// - Throws: `ProcessRefusal`, when there is no such process or it may not be seen.
    package init(processID: Int32) throws(ProcessRefusal) {
        let folder = ProcessFolder(machine: Machine(), processID: processID)
        self.init(try ProcessLook(folder, sample: .seconds(1)))
    }

    init(_ look: ProcessLook, now: UInt64 = MonotonicClock.now) {
        processID = look.folder.processID
        name = look.name
        commandLine = look.commandLine
        let number = look.status["Uid"]?.split(whereSeparator: \.isWhitespace).first ?? "?"
        user = "\(number)\(look.folder.userName(String(number)))"
        kind = look.kind
        evidence = look.kindEvidence
        steps = ProcessRow.steps(look)
        limits = ProcessRow.limits(look)
        snapshot = look.published
        // Clocks of another time namespace may stand behind.
        snapshotAgeSeconds = look.published.map { Double(now &- min(now, $0.writtenAt)) / 1e9 }
    }

    package var rows: [ProcessRow] { steps + limits }

    /// Whether no row asks for a change; what is unknown does not.
    package var isReady: Bool { !rows.contains { $0.state == .change } }

    /// The report as JSON, with sorted keys; a key without a value is left out.
    ///
    /// JSON need not escape what is above U+007E; a terminal may act on some of it all the same.
    package var json: String {
        get throws {
            let text = try reportJSON() + "\n"
            var escaped = String.UnicodeScalarView()
            for scalar in text.unicodeScalars {
                guard scalar.value > 0x7e, scalar.isSteering else {
                    escaped.append(scalar)
                    continue
                }
                for unit in String(scalar).utf16 {
                    // Four digits, behind a one that is left away.
                    let digits = String(0x10000 + UInt32(unit), radix: 16).dropFirst()
                    escaped += "\\u\(digits)".unicodeScalars
                }
            }
            return String(escaped)
        }
    }

    // MARK: Text

    /// Unicode scalars of a line, since one character may have any number of them.
    ///
    /// A snapshot is the word of the process, and may say anything.
    private static let lineLimit = 2000

    /// A row for each finding with its evidence, and below it what to do.
    package var text: String {
        var lines = [
            "process \(processID), \(name), of user \(user)",
            String(commandLine.joined(separator: " ").prefix(200)),
            "\(kind.rawValue)", "",
        ]
        let width = rows.map(\.name.count).max() ?? 0
        for part in [steps, limits] {
            for row in part {
                let name = row.name.padding(to: width)
                lines.append("\(row.state.mark) \(name)  \(row.finding) [\(row.evidence)]")
                if let advice = row.advice {
                    lines.append("\("".padding(to: width + 2))  -> \(advice)")
                }
            }
            lines.append("")
        }
        lines += snapshotLines
        lines.append("\(count(.change)) to change, \(count(.unknown)) unknown")
        return lines.map { line in
            String(line.unicodeScalars.prefix(Self.lineLimit)).printable.trimmedAtEnd + "\n"
        }.joined()
    }

    private func count(_ state: MachineCheck.State) -> Int { rows.count { $0.state == state } }

    private var snapshotLines: [String] {
        guard let snapshot, let age = snapshotAgeSeconds else { return [] }
        let runtime = snapshot.snapshot
        var lines = [
            "snapshot of \(age.inTime) ago: \(runtime.backend), \(runtime.phase.rawValue),"
                + " \(runtime.taskCount) tasks, \(runtime.uncaughtErrors)"
        ]
        for loop in runtime.eventLoops.prefix(RuntimeConfiguration.Loops.countLimit) {
            lines.append(
                "  loop \(loop.index): \((loop.utilization * 100).inWhole) % busy,"
                    + " \(loop.connectionsOpen) connections, turn p99 \(loop.turnLength.p99.inTime),"
                    + " \(loop.stalls) stalls"
            )
        }
        for pool in [runtime.blocking, runtime.compute] {
            lines.append(
                "  \(pool.name): \(pool.activeCount) of \(pool.threadLimit) threads busy,"
                    + " \(pool.queueDepth) queued, wait p99 \(pool.wait.p99.inTime)"
            )
        }
        if let workers = runtime.processes {
            lines.append(
                "  processes: \(workers.busyCount) of \(workers.workerCount) busy,"
                    + " \(workers.queueDepth) queued, \(workers.deaths) deaths"
            )
        }
        return lines + [""]
    }
}

extension MachineCheck.State {
    /// As a report of a process shows it.
    fileprivate var mark: String {
        switch self {
        case .ok: "✔"
        case .change: "✘"
        case .unknown: "?"
        }
    }
}
