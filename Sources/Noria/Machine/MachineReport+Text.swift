// SPDX-License-Identifier: Apache-2.0

extension MachineReport {
    /// The backends, a row for each check with its command below, how many ask for a change, and
    /// the knobs when they were asked for.
    package var text: String {
        var lines = backends.map { backend in
            let name = "\(backend.kind)".padding(to: 10)
            guard backend.isAvailable else {
                return "\(name) no   \(backend.reason ?? "it can't be had")"
            }
            return "\(name) yes  \(backend.features.joined(separator: ", "))"
        }
        lines.append("automatic  \(automatic.map { "takes \($0)" } ?? "finds none")")
        lines.append("")
        let width = checks.map(\.name.count).max() ?? 0
        for check in checks {
            let name = check.name.padding(to: width)
            lines.append(
                "\(check.state.rawValue.padding(to: 8)) \(name)  \(check.finding) - \(check.reason)"
            )
            if let command = check.command {
                lines.append("\("".padding(to: width + 9))  -> \(command)")
            }
        }
        lines.append("")
        let changeCount = checks.count { $0.state == .change }
        let unknownCount = checks.count { $0.state == .unknown }
        lines.append("\(changeCount) to change, \(unknownCount) unknown")
        if let configuration { lines += [""] + configuration.lines }
        return lines.map { $0.trimmedAtEnd + "\n" }.joined()
    }
}

extension String {
    func padding(to count: Int) -> String {
        self + String(repeating: " ", count: max(0, count - self.count))
    }

    var trimmedAtEnd: String {
        var copy = self
        while copy.last == " " { copy.removeLast() }
        return copy
    }
}
