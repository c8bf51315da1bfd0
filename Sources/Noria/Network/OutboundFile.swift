// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem
internal import SystemPackage

/// A file on its way to a peer: after what was written before it, and before what is written since.
///
/// The channel sends it piece by piece and wakes nobody for that. The task that sends it waits for
/// its end, and brings the pieces that do not lie in the kernel's memory.
///
/// SAFETY (`@unchecked Sendable`): all of it is the loop's; a cancellation handler only posts.
final class OutboundFile: @unchecked Sendable {
    /// What its task does next.
    enum Step {
        case bringPiece
        case goOn
        case fail
        case endCancelled
    }

    private let handle: FileHandle
    /// Stays open as long as this object.
    let fd: Int32
    private(set) var offset: Int
    private(set) var left: Int
    /// What is to go out after it.
    var behind = OutboundBuffer()
    /// The next piece is with its task: the peer has nothing to take.
    var isBeingRead = false
    /// The kernel can't send it: all of it goes through its task.
    var isCopied = false
    /// The pieces that were sent without a pause.
    var burstCount = 0
    /// How often in a row the kernel has told of room and has then taken nothing.
    var vainCount = 0
    private var step: Step?
    private var parked: Parked<Step>?

    init(_ handle: FileHandle, from offset: Int, count: Int) throws(Errno) {
        fd = try handle.borrow()
        (self.handle, self.offset, left) = (handle, offset, count)
    }

    deinit { handle.giveBack() }

    var nextCount: Int { min(left, File.pieceByteCount) }

    func advance(_ count: Int) {
        offset &+= count
        left &-= count
    }

    // MARK: Its task

    /// Tells the task; what it was told before, and has not done, is forgotten.
    func tell(_ step: Step, on loop: EventLoop) {
        guard let parked = parked.take() else {
            self.step = step
            return
        }
        parked.resume(returning: step, on: loop)
    }

    func takeStep() -> Step? { step.take() }

    func wait(_ parked: Parked<Step>, on loop: EventLoop) {
        guard let step = step.take() else {
            self.parked = parked
            return
        }
        parked.resume(returning: step, on: loop)
    }
}
