// SPDX-License-Identifier: Apache-2.0

/// The kernel's settings of TCP that a listener or a proxy meets.
extension MachineCheck {
    static func network(_ machine: Machine) -> [MachineCheck] {
        [backlog(machine), handshakes(machine), ports(machine)]
    }

    private static func backlog(_ machine: Machine) -> MachineCheck {
        let name = "net.core.somaxconn"
        return MachineCheck(name, "it cuts the queue of every listener") {
            () throws(Machine.Unseen) in
            let value = try machine.number("/proc/sys/net/core/somaxconn")
            let wanted = SocketOptions().backlog
            return Finding(
                text: "\(value) connections, of \(wanted) that are asked for",
                value: value,
                unit: "connections",
                command: value < wanted ? "sysctl -w \(name)=\(wanted)" : nil
            )
        }
    }

    private static func handshakes(_ machine: Machine) -> MachineCheck {
        let name = "net.ipv4.tcp_max_syn_backlog"
        return MachineCheck(
            name,
            "it bounds the handshakes under way where SYN cookies are off"
        ) { () throws(Machine.Unseen) in
            let value = try machine.number("/proc/sys/net/ipv4/tcp_max_syn_backlog")
            let hasCookies = try machine.number("/proc/sys/net/ipv4/tcp_syncookies") != 0
            let wanted = SocketOptions().backlog
            let isWell = hasCookies || value >= wanted
            return Finding(
                text: "\(value) handshakes, SYN cookies are \(hasCookies ? "on" : "off")",
                value: value,
                unit: "handshakes",
                command: isWell ? nil : "sysctl -w net.ipv4.tcp_syncookies=1"
            )
        }
    }

    private static func ports(_ machine: Machine) -> MachineCheck {
        let name = "net.ipv4.ip_local_port_range"
        return MachineCheck(
            name,
            "a connection to a peer takes one, and for 60 s after it closed unless reused"
        ) { () throws(Machine.Unseen) in
            let path = "/proc/sys/net/ipv4/ip_local_port_range"
            let words = try machine.text(path).split(whereSeparator: \.isWhitespace)
            guard words.count == 2 else {
                throw Machine.Unseen(reason: "\(path) has \(words.count) numbers instead of 2")
            }
            let first = try Machine.number(words[0], in: path)
            let last = try Machine.number(words[1], in: path)
            let count = max(0, last - first + 1)
            let reuse = try machine.number("/proc/sys/net/ipv4/tcp_tw_reuse")
            // The kernel's own range.
            let isWell = count >= 60_999 - 32_768 + 1
            return Finding(
                text: "\(count) ports (\(first) to \(last)), tcp_tw_reuse is \(reuse)",
                value: count,
                unit: "ports",
                command: isWell ? nil : "sysctl -w \(name)='32768 60999'"
            )
        }
    }
}
