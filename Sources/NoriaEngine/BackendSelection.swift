// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
internal import SystemPackage

/// Makes the backend that a policy asks for, and keeps a reason for each one that it refused.
package enum BackendSelection {
    package struct Refusal: Sendable {
        package let kind: BackendKind
        package let reason: String
    }

    /// Tries the candidates in order: the first that can be had, and why the earlier ones can't.
    package static func make(
        _ candidates: [BackendKind],
        bufferCapacity: Int = 1024,
        bufferByteCount: Int = 65_536
    ) -> (backend: (any Backend)?, refusals: [Refusal]) {
        let buffers = BufferPool(capacity: bufferCapacity, byteCount: bufferByteCount)
        var refusals: [Refusal] = []
        for kind in candidates {
            do throws(Errno) {
                switch kind {
                case .epoll:
                    return (
                        ReadinessBackend(selector: try EpollSelector(), buffers: buffers),
                        refusals
                    )
                default:
                    refusals.append(Refusal(kind: kind, reason: "it is not built yet"))
                }
            } catch {
                refusals.append(Refusal(kind: kind, reason: "\(error.name): \(error)"))
            }
        }
        return (nil, refusals)
    }
}
