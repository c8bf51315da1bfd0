// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaSystem
internal import SystemPackage

/// How the watchdog learns what a thread is in.
final class StallStacks {
    private let capture: StackCapture?
    private let reason: String?
    let names = CallNames()

    init(_ choice: RuntimeConfiguration.StallStacks, _ logger: Logger) {
        guard choice == .on else {
            capture = nil
            reason = nil
            return
        }
        guard StackCapture.isPossible else {
            capture = nil
            reason = "no stack: not under the thread sanitizer"
            return
        }
        do throws(Errno) {
            capture = try StackCapture()
            reason = nil
        } catch {
            let text = "no stack: no signal is free to take it by: \(error)"
            capture = nil
            reason = text
            logger.warning("watchdog: \(text)")
        }
    }

    /// Asks the thread where it is, while it is there.
    func take(of thread: Int32) -> Evidence {
        // Looked at first: the signal may end the call.
        let place = KernelWait.text(ofThread: thread).map { "its thread \($0)" }
        guard let capture else {
            return Evidence(notes: [reason, place].compactMap(\.self))
        }
        do throws(Errno) {
            let stack = try capture.take(of: thread, nanoseconds: Self.patience)
            return Evidence(
                addresses: stack.addresses,
                nanoseconds: stack.nanoseconds,
                task: TaskHook.record(at: stack.task)?.label
            )
        } catch {
            return Evidence(notes: ["no stack: \(error)", place].compactMap(\.self))
        }
    }

    private static let patience: Int64 = 200_000_000

    /// What was found of a thread.
    struct Evidence: Sendable {
        var addresses: [UInt] = []
        /// What it cost the thread; nil when its stack could not be taken.
        var nanoseconds: UInt64?
        /// The task that it ran, when it is a listed one.
        var task: String?
        /// In words, when there is no stack.
        var notes: [String] = []
    }
}

/// Gives calls their names; one thread at a time, which may take a quarter of a second for each
/// stack of a large program without optimisation.
final class CallNames: Sendable {
    private let symbols = Guarded(StackSymbols())

    /// The innermost first, without those by which the loop came to the job.
    func calls(_ evidence: StallStacks.Evidence) -> [String] {
        let calls = names(evidence.addresses, .running)
        let end = calls.firstIndex { call in Self.below.contains { call.contains($0) } }
        return Array(calls[..<(end ?? calls.endIndex)])
    }

    /// Where a task waits, without what the compiler puts in between.
    func calls(waiting addresses: [UInt]) -> [String] {
        var calls: [String] = []
        for call in names(addresses, .waiting)
        where !Self.isOne(of: Self.glue, call) && call != calls.last {
            calls.append(call)
        }
        return calls
    }

    /// Who called for something, from the return addresses of the calls that led to it.
    func caller(_ returnAddresses: [UInt]) -> String? {
        names(returnAddresses, .calls).first { !Self.isOne(of: Self.makers, $0) }
    }

    /// Whether a call is of a function whose name begins so, or of something within it.
    static func isOne(of beginnings: [String], _ call: String) -> Bool {
        var name = Substring(call)
        while true {
            if let inner = name.firstRange(of: " in "), name.hasPrefix("closure #") {
                name = name[inner.upperBound...]
            } else if let word = Self.wrappings.first(where: name.hasPrefix) {
                name = name.dropFirst(word.count)
            } else {
                return beginnings.contains(where: name.hasPrefix)
            }
        }
    }

    private func names(_ addresses: [UInt], _ chain: StackSymbols.Chain) -> [String] {
        guard !addresses.isEmpty else { return [] }
        return symbols.withLock { $0.names(of: addresses, chain) }
    }

    private static let below = ["swift_job_run", "swift::runJob", "EventLoop.run(_:)"]
    private static let wrappings = ["specialized ", "static "]
    static let glue = ["thunk for", "partial apply", "withUnsafeContinuation", "..."]
    /// What makes tasks for others.
    static let makers = ["Task<", "Task.", "Runtime.spawn", "swift_task_create"]
}
