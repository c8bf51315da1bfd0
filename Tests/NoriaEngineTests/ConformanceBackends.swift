// SPDX-License-Identifier: Apache-2.0
import Glibc
import NoriaEngine
import NoriaSystem
import Testing

/// The backends that the conformance suite runs over.
///
/// `NORIA_BACKEND` restricts them to one, which must then be there.
enum ConformanceBackends {
    /// Those of a real kernel that can be had here; one that was asked for must be, or its tests
    /// fail instead of being none.
    static let real: [BackendKind] = candidates.filter {
        forced != nil || refusal(of: $0) == nil
    }

    /// With the simulated one, for subjects that need no real socket.
    static let all: [BackendKind] = real + (forced == nil ? [.simulated] : [])

    static let forced: String? = Thread.environment("NORIA_BACKEND").flatMap {
        $0.isEmpty || $0 == "automatic" ? nil : $0
    }

    static let candidates: [BackendKind] = {
        raiseDescriptorLimit()
        guard let forced else { return [.ioUring, .epoll, .poll] }
        return BackendKind(rawValue: forced).map { [$0] } ?? []
    }()

    static func refusal(of kind: BackendKind) -> String? {
        let (backend, refusals) = BackendSelection.make(
            [kind],
            bufferCapacity: 4,
            bufferByteCount: 64
        )
        return backend == nil ? refusals.first?.reason ?? "no reason" : nil
    }

    /// The suite holds some thousand sockets; the limit of a shell is often 1,024.
    private static func raiseDescriptorLimit() {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(7), &limit)
        limit.rlim_cur = min(limit.rlim_max, max(limit.rlim_cur, 65_536))
        setrlimit(__rlimit_resource_t(7), &limit)
    }
}

/// The contract of `Backend`, one suite over every conformer.
///
/// It is serial: some of its subjects hold thousands of descriptors.
@Suite(.serialized) struct Conformance {
    @Test("Every backend that is asked for can be had, and each one that is skipped says why")
    func availability() {
        print("conformance runs over:", ConformanceBackends.all.map(\.rawValue))
        for kind in ConformanceBackends.candidates {
            guard let reason = ConformanceBackends.refusal(of: kind) else { continue }
            print("skipped: \(kind): \(reason)")
            #expect(ConformanceBackends.forced == nil, "\(kind) was asked for: \(reason)")
        }
        #expect(ConformanceBackends.real.contains(.poll) || ConformanceBackends.forced != nil)
        #expect(!ConformanceBackends.real.isEmpty)
    }
}
