// SPDX-License-Identifier: Apache-2.0

/// What the process has used of its limits, and what waits in it.
extension ProcessRow {
    static func limits(_ look: ProcessLook) -> [ProcessRow] {
        [
            descriptors(look), threads(look), quota(look), switches(look), closeWait(look),
            timeWait(look),
        ]
    }

    private static func descriptors(_ look: ProcessLook) -> ProcessRow {
        Self.look("descriptors", evidence: "fd, limits") { () throws(Machine.Unseen) in
            let limit = try look.folder.softLimit("Max open files")
            let count = look.descriptors.count
            let wanted = MachineCheck.descriptorsWanted
            let isFull = (limit ?? .max) / 5 * 4 <= count
            return ProcessRow(
                "descriptors",
                isFull || (limit ?? .max) < wanted ? .change : .ok,
                "\(count) of \(limit.map { "\($0)" } ?? "any number") that are allowed",
                evidence: "fd, limits: Max open files",
                value: (count, "descriptors"),
                advice: isFull || (limit ?? .max) < wanted
                    ? "each connection takes one: ulimit -n \(wanted), systemd LimitNOFILE=\(wanted)"
                        + (isFull ? ", and look for connections that nobody closes" : "")
                    : nil
            )
        }
    }

    private static func threads(_ look: ProcessLook) -> ProcessRow {
        Self.look("threads", evidence: "task, limits, cgroup") { () throws(Machine.Unseen) in
            let machine = look.folder.machine
            let count = look.after.count
            let user = try look.folder.softLimit("Max processes")
            let group = look.groups.threadLimit()
            var text = "\(count), of \(user.map { "\($0)" } ?? "any number") for all of its user"
            var isFull = (user ?? .max) / 5 * 4 <= count
            if let limit = group.value, let folder = group.folder {
                let used = (try? machine.number("\(folder)/pids.current")) ?? count
                text += ", and \(used) of \(limit) in its control group \(folder)"
                if limit / 5 * 4 <= used { isFull = true }
            }
            return ProcessRow(
                "threads",
                isFull ? .change : group.gap == nil ? .ok : .unknown,
                [text, group.gap].compactMap(\.self).joined(separator: "; "),
                evidence: "task, limits: Max processes, cgroup: pids.max",
                value: (count, "threads"),
                advice: isFull
                    ? "ulimit -u, systemd LimitNPROC= and TasksMax=, Docker --pids-limit; and look why"
                        + " there are so many"
                    : nil
            )
        }
    }

    private static func quota(_ look: ProcessLook) -> ProcessRow {
        let tightest = look.groups.processorQuota()
        let busy = look.activity.busyCount
        let running = "\(busy) busy threads over \(look.activity.text)"
        guard let quota = tightest.value, let throttling = look.throttling else {
            return ProcessRow(
                "processor quota",
                tightest.gap == nil ? .ok : .unknown,
                ["none seen; \(running)", tightest.gap].compactMap(\.self).joined(separator: "; "),
                evidence: "cgroup: cpu.max, task/*/schedstat",
                value: (busy, "busy threads")
            )
        }
        let now = throttling.after.throttled - throttling.before.throttled
        let (all, total) = (throttling.after.throttled, throttling.after.periods)
        // A burst now and then is what quotas are there for.
        let isHeld = now > 0 || all * 20 > max(20, total)
        return ProcessRow(
            "processor quota",
            isHeld ? .change : tightest.gap == nil ? .ok : .unknown,
            [
                "\(quota) processors; \(running); throttled in \(now) periods of them, in \(all) of"
                    + " \(total) since its begin", tightest.gap,
            ].compactMap(\.self).joined(separator: "; "),
            evidence: "cgroup: cpu.max, cpu.stat of \(tightest.folder ?? ""), task/*/schedstat",
            value: (all, "throttled periods"),
            advice: isHeld
                ? "all its threads stand still for the rest of a period: raise the quota, or run no"
                    + " more busy threads than \(max(1, Int(quota)))"
                : nil
        )
    }

    private static func switches(_ look: ProcessLook) -> ProcessRow {
        let activity = look.activity
        let total = look.after.threads.values.reduce(0) { $0 + $1.involuntarySwitches }
        let rate = Int(Double(activity.involuntarySwitches) / max(0.001, activity.seconds))
        var text =
            "\(rate) a second now, \(total) since its begin in the threads that live (voluntary:"
            + " \(Int(Double(activity.voluntarySwitches) / max(0.001, activity.seconds))) a second)"
        var isCrowded = rate >= 1000
        if let processors = activity.processors, let waiting = activity.waiting {
            text +=
                "; \(processors.inHundredths) processors in use, \(waiting.inHundredths) threads"
                + " ready without one"
            if waiting > 0.5, waiting > processors / 2 { isCrowded = true }
        }
        return ProcessRow(
            "involuntary switches",
            activity.seconds == 0 ? .unknown : isCrowded ? .change : .ok,
            [text, look.after.gap].compactMap(\.self).joined(separator: "; "),
            evidence: "task/*/{status,schedstat} over \(activity.text)",
            value: (rate, "switches a second"),
            advice: isCrowded
                ? "its threads want more processors than they get: fewer busy threads, or more"
                    + " processors" : nil
        )
    }

    // MARK: Sockets

    private static func closeWait(_ look: ProcessLook) -> ProcessRow {
        let first = look.sockets.closeWait.intersection(look.descriptors.sockets)
        let stayed = first.intersection(look.laterSockets?.closeWait ?? [])
        // A few may be idle connections of a client's pool, which sees the close at its next use.
        let state: MachineCheck.State =
            stayed.count >= 10 ? .change : stayed.isEmpty && look.socketGap == nil ? .ok : .unknown
        return ProcessRow(
            "CLOSE_WAIT",
            state,
            [
                "\(first.count) sockets whose peer has closed, \(stayed.count) of them all the while",
                look.socketGap,
            ].compactMap(\.self).joined(separator: "; "),
            evidence: "fd, net/tcp, net/tcp6",
            value: (first.count, "sockets"),
            advice: state == .ok
                ? nil : "close when a read ends: 'ss -tnp state close-wait' shows which"
        )
    }

    private static func timeWait(_ look: ProcessLook) -> ProcessRow {
        let ports = Set(
            look.sockets.listening.filter { look.descriptors.sockets.contains($0.key) }.values
        )
        let count = ports.reduce(0) { $0 + look.sockets.timeWait[$1, default: 0] }
        let all = look.sockets.timeWait.values.reduce(0, +)
        let listed = ports.sorted().prefix(5).map { "\($0)" }.joined(separator: ", ")
        let isMany = count >= 10_000
        let text =
            ports.isEmpty
            ? "it listens on no TCP port; such sockets have no owner, so that of \(all) here none can"
                + " be called its own"
            : "\(count) on its ports (\(listed)), of \(all) here (they have no owner: those of its"
                + " connections to others can't be told)"
        return ProcessRow(
            "TIME_WAIT",
            isMany ? .change : ports.isEmpty || look.socketGap != nil ? .unknown : .ok,
            [text, look.socketGap].compactMap(\.self).joined(separator: "; "),
            evidence: "fd, net/tcp, net/tcp6",
            value: (count, "sockets"),
            advice: isMany ? "it closes first, and often: keep connections alive" : nil
        )
    }
}

extension ProcessLook {
    fileprivate var socketGap: String? {
        descriptors.count > ProcessDescriptors.lookLimit
            ? "of \(descriptors.count) descriptors \(ProcessDescriptors.lookLimit) were looked at"
            : sockets.gap
    }
}

extension Double {
    fileprivate var inHundredths: String { "\((self * 100).rounded() / 100)" }
}
