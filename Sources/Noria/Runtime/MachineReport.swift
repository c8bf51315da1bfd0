// SPDX-License-Identifier: Apache-2.0
internal import FoundationEssentials
package import NoriaEngine

/// What `noria doctor` says of this machine.
package struct MachineReport: Codable {
    /// Whether one backend can be had, and if not, why and what to change.
    package struct Backend: Codable {
        package let kind: BackendKind
        package let isAvailable: Bool
        package let reason: String?
        package let features: [String]
    }

    package let backends: [Backend]
    /// The one that `automatic` takes, or nil when there is none.
    package let automatic: BackendKind?

    /// Tries each backend by using it.
    package init() {
        backends = [BackendKind.ioUring, .epoll, .poll].map { kind in
            let (backend, refusals) = BackendSelection.make([kind], bufferCapacity: 4)
            return Backend(
                kind: kind,
                isAvailable: backend != nil,
                reason: refusals.first?.reason,
                features: backend?.features ?? []
            )
        }
        automatic = backends.first(where: \.isAvailable)?.kind
    }

    /// A line for each backend, then what `automatic` takes.
    package var text: String {
        var lines = backends.map { backend in
            let name = "\(backend.kind)".padding(to: 10)
            guard backend.isAvailable else {
                return "\(name) no   \(backend.reason ?? "it can't be had")"
            }
            return "\(name) yes  \(backend.features.joined(separator: ", "))"
        }
        lines.append("automatic  \(automatic.map { "takes \($0)" } ?? "finds none")")
        return lines.map { $0.trimmedAtEnd + "\n" }.joined()
    }

    /// The same as JSON, with sorted keys.
    package var json: String {
        get throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            return String(decoding: try encoder.encode(self), as: UTF8.self) + "\n"
        }
    }
}

extension String {
    fileprivate func padding(to count: Int) -> String {
        self + String(repeating: " ", count: max(0, count - self.count))
    }

    fileprivate var trimmedAtEnd: String {
        var copy = self
        while copy.last == " " { copy.removeLast() }
        return copy
    }
}
