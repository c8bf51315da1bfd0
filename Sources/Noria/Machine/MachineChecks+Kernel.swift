// SPDX-License-Identifier: Apache-2.0

/// The kernel itself, and what forbids its interfaces.
extension MachineCheck {
    /// `hasIOUring`: whether it was had by using it, which no switch can tell.
    static func kernel(_ machine: Machine, hasIOUring: Bool) -> [MachineCheck] {
        [
            version(machine), ioUringDisabled(machine, hasIOUring),
            seccomp(machine, hasIOUring), hugePages(machine), container(machine),
        ]
    }

    private static func version(_ machine: Machine) -> MachineCheck {
        MachineCheck(
            "kernel",
            "io_uring is used from 6.1 on, waits in nanoseconds from 5.11 on"
        ) { () throws(Machine.Unseen) in
            let path = "/proc/sys/kernel/osrelease"
            let release = try machine.text(path).trimmed
            let numbers = release.split(separator: ".").prefix(2).map { part in
                Int(part.prefix { $0.isASCII && $0.isNumber })
            }
            guard numbers.count == 2, let major = numbers[0], let minor = numbers[1] else {
                throw Machine.Unseen(reason: "\(path) says '\(release.prefix(40))'")
            }
            let isNew = (major, minor) >= (6, 1)
            return Finding(
                text: "\(release)",
                command: isNew ? nil : "run Linux 6.1 or later"
            )
        }
    }

    private static func ioUringDisabled(_ machine: Machine, _ hasIOUring: Bool) -> MachineCheck {
        let name = "kernel.io_uring_disabled"
        return MachineCheck(name, "1 forbids io_uring to the unprivileged, 2 to all") {
            () throws(Machine.Unseen) in
            let path = "/proc/sys/kernel/io_uring_disabled"
            guard let text = try machine.text(ifThere: path) else {
                // Without /proc nothing could be said.
                _ = try machine.text("/proc/sys/kernel/osrelease")
                return Finding(text: "this kernel has no such switch (it came with 6.6)")
            }
            let value = try Machine.number(text, in: path)
            let isWell = value == 0 || hasIOUring
            return Finding(
                text: "set to \(value)",
                value: value,
                unit: "switch",
                command: isWell ? nil : "sysctl -w kernel.io_uring_disabled=0"
            )
        }
    }

    private static func seccomp(_ machine: Machine, _ hasIOUring: Bool) -> MachineCheck {
        MachineCheck(
            "seccomp",
            "the default profile of Docker and Kubernetes forbids io_uring"
        ) { () throws(Machine.Unseen) in
            let mode = try Machine.number(machine.status("Seccomp"), in: "/proc/self/status")
            guard mode != 0 else { return Finding(text: "no filter", value: 0, unit: "mode") }
            guard !hasIOUring else {
                return Finding(
                    text: "a filter that lets io_uring through",
                    value: mode,
                    unit: "mode"
                )
            }
            return Finding(
                text: "a filter, and io_uring can't be had",
                value: mode,
                unit: "mode",
                command: "allow io_uring_setup, io_uring_enter and io_uring_register in the profile"
            )
        }
    }

    private static func hugePages(_ machine: Machine) -> MachineCheck {
        MachineCheck(
            "transparent huge pages",
            "'always' makes heaps larger and a page fault clear 2 MiB"
        ) { () throws(Machine.Unseen) in
            let path = "/sys/kernel/mm/transparent_hugepage/enabled"
            guard let text = try machine.text(ifThere: path) else {
                guard machine.exists("/sys/kernel/mm") else {
                    throw Machine.Unseen(reason: "there is no \(path)")
                }
                return Finding(text: "not built into this kernel")
            }
            // `always [madvise] never`
            let word = text.drop { $0 != "[" }.dropFirst().prefix { $0 != "]" }
            guard !word.isEmpty else {
                throw Machine.Unseen(reason: "\(path) says '\(text.trimmed.prefix(40))'")
            }
            return Finding(
                text: "\(word)",
                command: word == "always" ? "echo madvise > \(path)" : nil
            )
        }
    }

    private static func container(_ machine: Machine) -> MachineCheck {
        MachineCheck("container", "limits outside of one can't be seen from inside") {
            () throws(Machine.Unseen) in
            var signs = ["/.dockerenv", "/run/.containerenv"].filter(machine.exists)
            for controller in ["cpu", "memory", "pids"] {
                guard let chain = try ControlGroups(machine).chain(of: controller),
                    chain.gap != nil
                else { continue }
                signs.append("the root of \(controller)'s control groups is not the machine's")
            }
            return Finding(text: signs.isEmpty ? "no sign of one" : signs.joined(separator: ", "))
        }
    }
}
