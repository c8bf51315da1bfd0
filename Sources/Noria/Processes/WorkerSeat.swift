// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem

/// The place of a worker, which its pool has prepared: a variable of the environment and a socket.
///
/// Nobody takes it by accident: the variable names the process that made the socket at descriptor 3,
/// the kernel says which that was, and it must be this one's parent. The variable is removed as the
/// place is taken, so that what user code starts later is no worker.
struct WorkerSeat: Equatable {
    static let variable = "NORIA_WORKER_SEAT"

    var parentID: Int32
    var frameByteCountLimit: Int
    var isMemoryLimited: Bool

    init(parentID: Int32, frameByteCountLimit: Int, isMemoryLimited: Bool) {
        self.parentID = parentID
        self.frameByteCountLimit = frameByteCountLimit
        self.isMemoryLimited = isMemoryLimited
    }

    /// Reads `1 PARENT FRAME-LIMIT MEMORY-LIMITED`; nil for anything else.
    init?(text: String) {
        let parts = text.split(separator: " ", omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0] == "1", let parentID = Int32(parts[1]), parentID > 0,
            let limit = Int(parts[2]), limit > 0, parts[3] == "0" || parts[3] == "1"
        else { return nil }
        self.init(
            parentID: parentID,
            frameByteCountLimit: limit,
            isMemoryLimited: parts[3] == "1"
        )
    }

    var text: String { "1 \(parentID) \(frameByteCountLimit) \(isMemoryLimited ? 1 : 0)" }

    /// This process's place, if it has one: asked once, before anything else is done.
    static func take() -> WorkerSeat? {
        guard let text = Thread.environment(variable), let seat = WorkerSeat(text: text),
            WorkerSelf.parentID == seat.parentID,
            WorkerSelf.maker(ofSocket: WorkerSelf.socket) == seat.parentID
        else { return nil }
        WorkerSelf.removeVariable(variable)
        WorkerSelf.closeOnExec(WorkerSelf.socket)
        WorkerSelf.takeSignals()
        WorkerSelf.flushLines()
        return seat
    }
}
