// SPDX-License-Identifier: Apache-2.0
internal import NoriaEngine
internal import NoriaSystem
internal import SystemPackage

/// One operation on a file through the ring of the caller's loop, until the kernel has let go.
///
/// It keeps the memory and the descriptor that the kernel uses: the engine keeps it until the
/// completion, and for ever if a disk never answers. What can't be cancelled is waited for, so a
/// cancelled caller goes on only when its memory is its own again.
///
/// SAFETY (`@unchecked Sendable`): all of it is the loop's; a cancellation handler only posts.
final class FileOperation: OperationOwner, @unchecked Sendable {
    enum Purpose { case read, write, sync }

    private let handle: FileHandle
    private let fd: Int32
    private let loop: EventLoop
    private let memory: UnsafeMutableRawBufferPointer
    private let part: UnsafeMutablePointer<FilePart>
    private var token: Token?
    private var parked: Parked<Int32>?

    /// Takes the descriptor and the memory; an `offset` of nil is the end of the file, wherever
    /// other writers have moved it.
    init(
        _ handle: FileHandle,
        on loop: EventLoop,
        offset: Int? = 0,
        byteCount: Int = 0
    ) throws(Errno) {
        fd = try handle.borrow()
        (self.handle, self.loop) = (handle, loop)
        memory = .allocate(byteCount: byteCount, alignment: 16)
        part = .allocate(capacity: 1)
        // SAFETY: an allocation has an address, also one of no bytes.
        let start = memory.baseAddress ?? UnsafeMutableRawPointer(part)
        part.initialize(to: FilePart(offset: offset, memory: start, count: byteCount))
    }

    deinit {
        part.deallocate()
        memory.deallocate()
        handle.giveBack()
    }

    /// What was read.
    ///
    /// Loop thread only, after `perform`.
    func bytes(_ count: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: memory[..<count])
    }

    /// Takes the bytes to write, as many as there is memory for.
    ///
    /// Loop thread only, before `perform`.
    func fill(with bytes: UnsafeRawBufferPointer) {
        memory.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes.prefix(memory.count)))
    }

    /// Has the kernel do it: the count.
    ///
    /// Loop thread only.
    func perform(_ purpose: Purpose) async throws -> Int {
        while true {
            if Task.isCancelled { throw CancellationError() }
            let result = await loop.park {
                begin(purpose, $0)
            } onCancel: {
                self.cancel()
            }
            switch result {
            case 0...: return Int(result)
            // By us, or since the run has ended: `Engine.close`.
            case -Errno.canceled.rawValue: throw CancellationError()
            // A thread of the kernel's own was told to stop: by us, or by a debugger.
            case -Errno.interrupted.rawValue: continue
            default: throw Errno(negated: result)
            }
        }
    }

    private func begin(_ purpose: Purpose, _ parked: Parked<Int32>) {
        guard !Task.isCancelled else {
            return parked.resume(returning: -Errno.canceled.rawValue, on: loop)
        }
        let submission: Submission =
            switch purpose {
            case .read: .readFile(fd, part)
            case .write: .writeFile(fd, part)
            case .sync: .syncFile(fd)
            }
        switch loop.engine.submit(submission, owner: self) {
        case .done(let completion):
            parked.resume(returning: completion.result, on: loop)
        case .pending(let token):
            (self.token, self.parked) = (token, parked)
        }
    }

    private func cancel() {
        if let token { loop.engine.cancel(token) }
    }

    func complete(_ completion: Completion, kind: Submission.Kind) {
        token = nil
        parked.take()?.resume(returning: completion.result, on: loop)
    }
}
