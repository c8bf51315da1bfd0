// SPDX-License-Identifier: Apache-2.0
internal import CNoria
internal import NoriaEngine
internal import SystemPackage

/// Serves Dispatch's main queue from the main thread's loop, whose thread Dispatch no longer has.
///
/// Libraries that know nothing of us send work there (`DispatchQueue.main.async`); it would lie
/// for ever. The queue shows by a descriptor that it has work; the loop watches it like any other.
/// Loop thread only.
final class DispatchMainQueue: OperationOwner {
    private let engine: Engine
    private let descriptor: Int32
    private var token: Token?

    /// Nil when the program has no Dispatch.
    init?(engine: Engine) {
        self.engine = engine
        descriptor = noria_dispatch_main_queue_descriptor()
        guard descriptor >= 0 else { return nil }
    }

    func begin() throws(Errno) {
        try engine.backend.register(descriptor)
        watch()
    }

    func end() {
        if let token { engine.cancel(token) }
        engine.backend.deregister(descriptor)
    }

    private func watch() {
        while true {
            switch engine.submit(.watch(descriptor), owner: self) {
            case .pending(let token):
                self.token = token
                return
            case .done(let completion):
                guard completion.result >= 0 else { return }
                noria_dispatch_main_queue_drain()
            }
        }
    }

    func complete(_ completion: Completion, kind: Submission.Kind) {
        token = nil
        guard completion.result >= 0 else { return }
        noria_dispatch_main_queue_drain()
        watch()
    }
}
