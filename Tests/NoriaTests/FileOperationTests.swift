// SPDX-License-Identifier: Apache-2.0
import NoriaEngine
import NoriaSystem
import SystemPackage
import TestSupport
import Testing

@testable import Noria

/// A kernel whose disk answers as a test says, and not before.
private final class SlowDisk: ForwardingBackend {
    enum Answer {
        case never
        case whenCancelled(Int32)
        case interruptedOnce
    }

    private let answer: Answer
    private var isFirst = true
    /// Told when an operation was submitted.
    private let isSubmitted: Gate

    init(_ base: any Backend, _ answer: Answer, _ isSubmitted: Gate) {
        (self.answer, self.isSubmitted) = (answer, isSubmitted)
        super.init(base)
    }

    override var takesFiles: Bool { true }

    override func submit(_ submission: Submission, token: Token) -> Completion? {
        guard submission.kind == .readFile else { return super.submit(submission, token: token) }
        defer { isSubmitted.pass() }
        guard case .interruptedOnce = answer else { return nil }
        defer { isFirst = false }
        return Completion(token: token, result: isFirst ? -Errno.interrupted.rawValue : 3)
    }

    override func cancel(_ token: Token, kind: Submission.Kind, descriptor: Int32) {
        guard kind == .readFile else {
            return super.cancel(token, kind: kind, descriptor: descriptor)
        }
        if case .whenCancelled(let result) = answer {
            answers.append(Completion(token: token, result: result))
        }
    }
}

@Suite("An operation on a file by the ring")
struct FileOperationTests {
    private final class Kept: Sendable {
        private let operation = Locked<FileOperation?>(nil)
        func keep(_ operation: FileOperation) { self.operation.withLock { $0 = operation } }
        /// Whether somebody else has it, too, after this one has let go.
        func isKeptElsewhere() -> Bool {
            weak let last = operation.withLock { $0.take() }
            return last != nil
        }
    }

    /// One read on a loop over such a disk: what came of it.
    private static func read(
        _ answer: SlowDisk.Answer,
        cancels: Bool,
        kept: Kept = Kept()
    ) throws -> String {
        let fd = try Files.open("/dev/zero", flags: 0, permissions: [])
        let handle = FileHandle(fd, "/dev/zero", isBuffered: true)
        let loop = try EventLoop(index: 1)
        let (isSubmitted, isDone, isEnded) = (Gate(), Gate(), Gate())
        let result = Locked("")
        let isSilent = if case .never = answer { true } else { false }
        try Thread.start {
            // What the end of a run resumes goes on in the next.
            for _ in 0..<(isSilent ? 2 : 1) {
                let base = BackendSelection.make([.poll], bufferCapacity: 4).backend
                let backend = base.map { SlowDisk($0, answer, isSubmitted) }
                guard let engine = backend.map(Engine.init),
                    (try? loop.begin(engine: engine)) != nil
                else { return }
                loop.run(TurnBudget())
                loop.end()
            }
            isEnded.pass()
        }
        let task = Task(executorPreference: loop.taskExecutor) {
            do {
                let operation = try FileOperation(handle, on: loop, offset: 0, byteCount: 8)
                kept.keep(operation)
                let count = try await operation.perform(.read)
                result.withLock { $0 = "\(count)" }
            } catch { result.withLock { $0 = "\(error)" } }
            isDone.pass()
        }
        try isSubmitted.wait(for: "the submission")
        if cancels { task.cancel() }
        if isSilent {
            // The scope of the file ends, and the run, with the disk still silent.
            handle.close()
            _ = try Files.status(of: fd)
            loop.post { loop.finish() }
        }
        try isDone.wait(for: "the read's end")
        loop.post { loop.finish() }
        try isEnded.wait(for: "the loop's end")
        return result.withLock { $0 }
    }

    @Test("a cancelled one ends when the kernel says so")
    func cancelled() throws {
        let answer = SlowDisk.Answer.whenCancelled(-Errno.canceled.rawValue)
        #expect(try Self.read(answer, cancels: true) == "CancellationError()")
        let interrupted = SlowDisk.Answer.whenCancelled(-Errno.interrupted.rawValue)
        #expect(try Self.read(interrupted, cancels: true) == "CancellationError()")
    }

    @Test("bytes that are faster than a cancellation are not lost")
    func late() throws {
        #expect(try Self.read(.whenCancelled(8), cancels: true) == "8")
    }

    @Test("one that was interrupted by nobody of ours is tried again")
    func interrupted() throws {
        #expect(try Self.read(.interruptedOnce, cancels: false) == "3")
    }

    @Test("the end of a run lets its task go on, and keeps the memory of a disk that never answers")
    func abandoned() throws {
        let kept = Kept()
        #expect(try Self.read(.never, cancels: false, kept: kept) == "CancellationError()")
        #expect(kept.isKeptElsewhere())
        let ended = Kept()
        #expect(try Self.read(.interruptedOnce, cancels: false, kept: ended) == "3")
        #expect(!ended.isKeptElsewhere())
    }
}
