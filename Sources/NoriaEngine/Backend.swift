// SPDX-License-Identifier: Apache-2.0
package import SystemPackage

/// Turns submissions into completions: the one seam between the house and a kernel interface.
///
/// All members belong to the loop's thread.
package protocol Backend: AnyObject {
    var kind: BackendKind { get }
    /// What this backend uses of the kernel, for the report.
    var features: [String] { get }
    /// Where received bytes lie.
    var buffers: BufferPool { get }

    /// Whether it does file operations; one that does not answers them with ENOTSUP.
    ///
    /// Their descriptors are not registered. What the kernel can't cancel, since it waits for a
    /// disk, is answered when that is over.
    var takesFiles: Bool { get }

    /// Takes a descriptor in, once, before the first submission on it.
    ///
    /// One that stops short may end a read although more bytes lie behind: a Unix stream does at
    /// bytes that came with descriptors, or out of band (unix(7), "Ancillary messages").
    func register(_ fd: Int32, stopsShort: Bool) throws(Errno)
    /// Lets go of a descriptor, before it is closed and after its last completion.
    func deregister(_ fd: Int32)
    /// Makes writes to this eventfd end a wait.
    func watchWakeup(_ fd: Int32) throws(Errno)

    /// Takes it: its completion if it could be had here and now, else that comes from `wait`,
    /// however it ends.
    func submit(_ submission: Submission, token: Token) -> Completion?
    /// Asks for an operation's early end. Its completion still comes, with whatever result.
    func cancel(_ token: Token, kind: Submission.Kind, descriptor: Int32)
    /// Gives a buffer of a completion back.
    func giveBack(_ buffer: BufferID)
    /// The buffers that no completion holds: in the pool, or lent to the kernel for receives.
    var freeBufferCount: Int { get }
    /// Whether a receive that waits may take a buffer in the next wait, not only a new one.
    ///
    /// Then no more starved receives are fed in a turn than there are buffers for.
    var takesBuffersLater: Bool { get }

    /// The answers that the kernel keeps in memory shared with it; 0 where it keeps none.
    var completionCapacity: Int { get }
    /// Times that those were not enough.
    var overflowCount: Int { get }

    /// Hands over what was submitted, and waits up to `nanoseconds` for something to end: 0 looks
    /// without waiting, negative waits without end. Answers are appended to `completions`, at
    /// most about `limit`. Returns whether the wakeup was seen.
    func wait(nanoseconds: Int64, limit: Int, into completions: inout CompletionQueue) -> Bool
}

extension Backend {
    package func register(_ fd: Int32) throws(Errno) { try register(fd, stopsShort: false) }

    package var takesFiles: Bool { false }
    package var freeBufferCount: Int { buffers.freeCount }
    package var takesBuffersLater: Bool { true }
    package var completionCapacity: Int { 0 }
    package var overflowCount: Int { 0 }
}
