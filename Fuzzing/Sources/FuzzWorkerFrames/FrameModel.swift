// SPDX-License-Identifier: Apache-2.0

/// What `WorkerFrameParser` says it does, over all bytes at once, slow and plain.
struct FrameModel {
    private(set) var frames: [WorkerFrame] = []
    private(set) var failure: WorkerFrameParser.Failure?
    private(set) var rest: [UInt8]

    init(_ bytes: [UInt8], limit: Int) {
        rest = bytes
        while rest.count >= 4, failure == nil {
            let count = rest[..<4].reduce(0) { $0 * 256 + Int($1) }
            if count > limit {
                failure = .tooLong(byteCount: count)
            } else if count == 0 {
                failure = .empty
            } else if rest.count == 4 {
                return
            } else if let kind = WorkerFrame.Kind.allCases.first(where: { $0.rawValue == rest[4] })
            {
                guard rest.count >= 4 + count else { return }
                frames.append(WorkerFrame(kind, Array(rest[5..<4 + count])))
                rest = Array(rest[(4 + count)...])
            } else {
                failure = .unknownKind(rest[4])
            }
        }
    }
}
