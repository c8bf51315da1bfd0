// SPDX-License-Identifier: Apache-2.0
import NoriaEngine
import SystemPackage

/// A backend that has another do everything: what a test wants otherwise it overrides.
class ForwardingBackend: Backend {
    let base: any Backend
    /// What the next wait hands over beside the base's.
    var answers: [Completion] = []

    init(_ base: any Backend) { self.base = base }

    var kind: BackendKind { base.kind }
    var features: [String] { base.features }
    var buffers: BufferPool { base.buffers }
    var takesFiles: Bool { base.takesFiles }

    func register(_ fd: Int32, stopsShort: Bool) throws(Errno) {
        try base.register(fd, stopsShort: stopsShort)
    }

    func deregister(_ fd: Int32) { base.deregister(fd) }
    func watchWakeup(_ fd: Int32) throws(Errno) { try base.watchWakeup(fd) }
    func giveBack(_ buffer: BufferID) { base.giveBack(buffer) }

    func submit(_ submission: Submission, token: Token) -> Completion? {
        base.submit(submission, token: token)
    }

    func cancel(_ token: Token, kind: Submission.Kind, descriptor: Int32) {
        base.cancel(token, kind: kind, descriptor: descriptor)
    }

    func wait(nanoseconds: Int64, limit: Int, into completions: inout CompletionQueue) -> Bool {
        let isRoused = base.wait(
            nanoseconds: answers.isEmpty ? nanoseconds : 0,
            limit: limit,
            into: &completions
        )
        for answer in answers { completions.append(answer) }
        answers = []
        return isRoused
    }
}
