// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
internal import SystemPackage

/// One thread's conversation with the kernel: submissions in, completions out.
///
/// It knows no tasks and no `async`, so plain functions test it. Every member belongs to the
/// thread that made it.
///
/// SAFETY (`@exclusivity(unchecked)`): no access spans a call that reaches the same property: a
/// completion is taken from its queue, and its slot freed, before the owner is told.
package final class Engine {
    package let backend: any Backend
    package let buffers: BufferPool
    @exclusivity(unchecked) private var operations = OperationTable()
    @exclusivity(unchecked) private var completions = CompletionQueue()
    /// Receives that found no buffer, in the order in which they will get one.
    @exclusivity(unchecked) private var starved = StarvedReceives()
    /// The receives fed since the last look that may each take a buffer in the next one.
    @exclusivity(unchecked) private var promisedCount = 0
    @exclusivity(unchecked) package private(set) var completionCount: UInt64 = 0
    /// The run has ended: whatever is submitted is cancelled at once.
    @exclusivity(unchecked) package private(set) var isClosed = false
    @exclusivity(unchecked) package private(set) var starvedCount: UInt64 = 0
    /// The most completions that have waited for their delivery after a look.
    @exclusivity(unchecked) private var completionHighWater = 0
    /// Deliveries that stopped at their limit.
    @exclusivity(unchecked) private var limitedCount: UInt64 = 0
    @exclusivity(unchecked) private var receivedByteCount: UInt64 = 0
    @exclusivity(unchecked) private var sentByteCount: UInt64 = 0

    package init(backend: any Backend) {
        self.backend = backend
        buffers = backend.buffers
    }

    package var operationCount: Int { operations.count }

    /// The engine's numbers, read here: in another module each would be checked for exclusivity.
    package var counts: Counts {
        Counts(
            completions: completionCount,
            completionHighWater: completionHighWater,
            starvedReceives: starvedCount,
            limitedTurns: limitedCount,
            overflows: UInt64(truncatingIfNeeded: backend.overflowCount),
            receivedBytes: receivedByteCount,
            sentBytes: sentByteCount
        )
    }

    package struct Counts {
        package let completions: UInt64
        package let completionHighWater: Int
        package let starvedReceives: UInt64
        package let limitedTurns: UInt64
        package let overflows: UInt64
        package let receivedBytes: UInt64
        package let sentBytes: UInt64
    }

    /// Hands an operation over: its completion if it ended at once, else `owner` is told later.
    package func submit(_ submission: Submission, owner: any OperationOwner) -> Submitted {
        let token = operations.nextToken()
        guard !isClosed else {
            return .done(Completion(token: token, result: -Errno.canceled.rawValue))
        }
        if let completion = backend.submit(submission, token: token) {
            guard lacksBuffer(completion, submission.kind) else {
                count(completion, submission.kind)
                return .done(completion)
            }
            starve(token)
        }
        operations.insert(token, submission.kind, submission.descriptor, owner: owner)
        return .pending(token)
    }

    /// Asks for an operation's early end; its completion comes later, as always.
    package func cancel(_ token: Token) {
        guard let (kind, descriptor) = operations.cancel(token) else { return }
        if starved.remove(token) {
            completions.append(Completion(token: token, result: -Errno.canceled.rawValue))
        } else {
            backend.cancel(token, kind: kind, descriptor: descriptor)
        }
    }

    /// Asks for the early end of all that is under way.
    package func cancelAll() { for token in operations.tokens { cancel(token) } }

    /// Cancels all that is under way and waits for the kernel's last word on each, a second at
    /// most: from then on it has none of our memory, and a submission ends at once, cancelled.
    ///
    /// A disk that does not answer can't be cancelled. Its owners are told that they were, and are
    /// kept for ever with the memory that the kernel may still come back to.
    package func close() {
        isClosed = true
        cancelAll()
        let end = MonotonicClock.now + Self.closeNanoseconds
        while operations.count > 0, MonotonicClock.now < end {
            _ = look(nanoseconds: Int64(Self.closeNanoseconds / 10), limit: .max)
            deliver(limit: .max)
        }
        for token in operations.tokens {
            guard let (owner, kind) = operations.remove(token) else { continue }
            // SAFETY: nobody releases it; the kernel writes to its memory whenever it will.
            _ = Unmanaged<AnyObject>.passRetained(owner)
            owner.complete(Completion(token: token, result: -Errno.canceled.rawValue), kind: kind)
        }
    }

    private static let closeNanoseconds: UInt64 = 1_000_000_000

    /// Gives a completion's buffer back, to the receive that has waited longest if one does.
    package func giveBack(_ buffer: BufferID) {
        backend.giveBack(buffer)
        if !starved.isEmpty { feedStarved() }
    }

    /// Submits starved receives again, as many as there are buffers for.
    ///
    /// It is called when one is given back, and after every delivery: then a receive may have
    /// ended that needed none, or joined the line although the last buffer had come back between
    /// the kernel's ENOBUFS and its delivery, and no other call would come.
    private func feedStarved() {
        while backend.freeBufferCount > promisedCount, let token = starved.popFirst() {
            guard let (kind, descriptor) = operations.find(token) else { continue }
            if let completion = backend.submit(Submission(kind, descriptor), token: token) {
                completions.append(completion)
            } else if backend.takesBuffersLater {
                promisedCount &+= 1
            }
        }
    }

    /// Looks at the kernel, waiting up to `nanoseconds`.
    ///
    /// Whether the wakeup was seen.
    package func look(nanoseconds: Int64, limit: Int) -> Bool {
        promisedCount = 0
        let wasRoused = backend.wait(
            nanoseconds: completions.isEmpty ? nanoseconds : 0,
            limit: limit,
            into: &completions
        )
        completionHighWater = max(completionHighWater, completions.count)
        return wasRoused
    }

    /// Tells the owners, at most `limit` of them; the rest waits for the next turn.
    package func deliver(limit: Int) {
        var left = limit
        while left > 0, var completion = completions.popFirst() {
            left &-= 1
            if completion.result == -Errno.noBufferSpace.rawValue,
                let (kind, _) = operations.find(completion.token), kind == .receive
            {
                // Cancelled meanwhile: the backend no longer knew it, so nobody else ends it.
                guard operations.isCancelled(completion.token) else {
                    starve(completion.token)
                    continue
                }
                completion.result = -Errno.canceled.rawValue
            }
            completionCount &+= 1
            guard let (owner, kind) = operations.remove(completion.token) else {
                // Its slot has another tenant: only the buffer is still to be saved.
                if let buffer = completion.buffer { giveBack(buffer) }
                continue
            }
            count(completion, kind)
            owner.complete(completion, kind: kind)
        }
        if left == 0, !completions.isEmpty { limitedCount &+= 1 }
        if !starved.isEmpty { feedStarved() }
    }

    /// The received bytes of a completion.
    package func bytes(of completion: Completion) -> UnsafeRawBufferPointer {
        guard let buffer = completion.buffer, completion.result > 0 else {
            return UnsafeRawBufferPointer(start: nil, count: 0)
        }
        return UnsafeRawBufferPointer(
            start: buffers.start(of: buffer),
            count: Int(completion.result)
        )
    }

    /// Counts bytes that were sent by another call than a submission.
    package func count(sent byteCount: Int) { sentByteCount &+= UInt64(byteCount) }

    @inline(__always)
    private func count(_ completion: Completion, _ kind: Submission.Kind) {
        guard completion.result > 0 else { return }
        switch kind {
        case .receive: receivedByteCount &+= UInt64(completion.result)
        case .send, .sendParts, .sendNow: sentByteCount &+= UInt64(completion.result)
        case .accept, .connect, .watch, .room, .readFile, .writeFile, .syncFile: break
        }
    }

    private func lacksBuffer(_ completion: Completion, _ kind: Submission.Kind) -> Bool {
        completion.result == -Errno.noBufferSpace.rawValue && kind == .receive
    }

    private func starve(_ token: Token) {
        starvedCount &+= 1
        starved.append(token)
    }
}

/// What became of a submission at once.
package enum Submitted {
    case pending(Token)
    case done(Completion)
}
