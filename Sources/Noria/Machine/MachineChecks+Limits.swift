// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem

/// What bounds this process: processors, descriptors, threads, memory.
extension MachineCheck {
    /// Descriptors that a service should have: 10,000 connections and as many again behind them,
    /// files, and room to grow; the kernel takes no memory for those that aren't open.
    static let descriptorsWanted = 65_536
    /// Threads that a service should have: its pools grow to 128, and other processes of the user
    /// or the container count, too.
    static let threadsWanted = 1024
    /// What the kernel charges for one ring of ours and its buffer queue: 106 KiB, seen on 6.18.
    static let ringByteCount = 131_072

    static func limits(_ machine: Machine, _ processors: Processors) -> [MachineCheck] {
        [
            check(processors), descriptors(machine), threads(machine),
            lockedMemory(machine, processors), memory(machine),
        ]
    }

    private static func check(_ processors: Processors) -> MachineCheck {
        MachineCheck(
            "processors",
            "busy threads above a quota are all stopped for the rest of its period"
        ) { () throws(Machine.Unseen) in
            var text = "\(processors.count) by affinity \(processors.affinityCount)"
            var command: String?
            if let quota = processors.quota, let group = processors.quotaGroup {
                text += " and quota \(quota) of \(group)"
                if quota < 1 {
                    command =
                        "give it a whole one: Docker --cpus=1, Kubernetes limits.cpu: \"1\","
                        + " systemd CPUQuota=100%"
                }
            } else {
                text += ", no quota seen"
            }
            return Finding(
                text: text,
                value: processors.count,
                unit: "processors",
                command: command,
                gap: processors.gap
            )
        }
    }

    private static func descriptors(_ machine: Machine) -> MachineCheck {
        MachineCheck(
            "descriptors",
            "each connection takes one"
        ) { () throws(Machine.Unseen) in
            let (soft, hard) = try machine.limits(.descriptors)
            // A runtime raises the soft limit to the hard one when it starts.
            let isEnough = (hard ?? .max) >= descriptorsWanted
            return Finding(
                text: "\(text(hard)) (ulimit -Hn), \(text(soft)) before a runtime raises it",
                value: hard,
                unit: "descriptors",
                command: isEnough
                    ? nil
                    : "ulimit -Hn \(descriptorsWanted), systemd LimitNOFILE=\(descriptorsWanted),"
                        + " Docker --ulimit nofile=\(descriptorsWanted)"
            )
        }
    }

    static func threads(_ machine: Machine) -> MachineCheck {
        MachineCheck(
            "threads",
            "loops, pools and workers take them, and so does all else of the user"
        ) { () throws(Machine.Unseen) in
            let user = try machine.limits(.processes).soft
            let group = ControlGroups(machine).threadLimit()
            let least = [user, group.value].compactMap(\.self).min()
            var text = "\(text(user)) (ulimit -u)"
            if let limit = group.value, let folder = group.folder {
                text += ", \(limit) (pids.max of \(folder))"
            }
            return Finding(
                text: text,
                value: least,
                unit: "threads",
                command: (least ?? .max) >= threadsWanted
                    ? nil
                    : "ulimit -u \(threadsWanted), systemd LimitNPROC= and TasksMax=, Docker"
                        + " --pids-limit=\(threadsWanted)",
                gap: group.gap
            )
        }
    }

    /// Kernels before 5.12 charge rings to this limit, those after it did not, and newer ones do
    /// again: seen on 6.18, where 128 KiB were too little for two rings at once.
    private static func lockedMemory(_ machine: Machine, _ processors: Processors) -> MachineCheck {
        MachineCheck(
            "locked memory",
            "io_uring's rings count, those of all processes of the user together"
        ) { () throws(Machine.Unseen) in
            let soft = try machine.limits(.lockedByteCount).soft
            let isExempt = try machine.mayLockMemory
            // One for each loop, and one more: the kernel frees that of the self-test later.
            let wanted = (processors.count + 1) * ringByteCount
            var text = "\(soft.map { $0.inBytes } ?? "no limit") (ulimit -l)"
            if isExempt { text += ", which CAP_IPC_LOCK lifts" }
            return Finding(
                text: text,
                value: soft,
                unit: "bytes",
                command: isExempt || (soft ?? .max) >= wanted
                    ? nil
                    : "ulimit -l unlimited, systemd LimitMEMLOCK=infinity, Docker --ulimit"
                        + " memlock=-1"
            )
        }
    }

    private static func memory(_ machine: Machine) -> MachineCheck {
        MachineCheck(
            "memory",
            "above it the kernel ends the process"
        ) { () throws(Machine.Unseen) in
            let limit = ControlGroups(machine).memoryLimit()
            var text = "no limit seen"
            if let value = limit.value, let folder = limit.folder {
                text = "\(value.inBytes) of \(folder)"
            }
            return Finding(text: text, value: limit.value, unit: "bytes", gap: limit.gap)
        }
    }

    private static func text(_ limit: Int?) -> String { limit.map { "\($0)" } ?? "no limit" }
}

extension Machine {
    /// Whether limits of locked memory don't hold for this process: CAP_IPC_LOCK, held in the
    /// first user namespace (the root of a container's own one has it in there alone).
    fileprivate var mayLockMemory: Bool {
        get throws(Unseen) {
            let word = try status("CapEff")
            guard let capabilities = UInt64(word, radix: 16) else {
                throw Unseen(reason: "/proc/self/status says CapEff '\(word.prefix(40))'")
            }
            let map = try text(ifThere: "/proc/self/uid_map") ?? "0 0 4294967295"
            let isFirst = map.split(whereSeparator: \.isWhitespace) == ["0", "0", "4294967295"]
            return isFirst && capabilities & 1 << 14 != 0
        }
    }
}

extension Int {
    /// In the largest unit that leaves nothing over: `512 MiB`.
    var inBytes: String {
        for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)]
        where self != 0 && self & ((1 << shift) - 1) == 0 {
            return "\(self >> shift) \(unit)"
        }
        return "\(self) bytes"
    }
}
