// SPDX-License-Identifier: Apache-2.0
internal import CNoria
internal import Glibc
package import SystemPackage

/// Takes the stacks of this process's threads, by a signal, for as long as it lives.
///
/// One thread asks at a time. Whoever waits in a system call when its stack is taken may have that
/// end with EINTR: SA_RESTART does not restart usleep, nanosleep, poll, select, sem_timedwait, or a
/// receive with a time-out.
package final class StackCapture {
    private let previous: sigaction

    /// The signal, chosen once: one that nobody used then; negative when all are used.
    private static let signal = noria_stacks_free_signal()

    /// Lets the calling thread be asked; whether it could not be before, which `refuse` restores.
    ///
    /// A thread that is started by one of Dispatch's has all signals blocked.
    package static func admit() -> Bool {
        guard signal > 0 else { return false }
        return change(SIG_UNBLOCK)
    }

    /// Takes `admit` back.
    package static func refuse() { _ = change(SIG_BLOCK) }

    /// Whether it was blocked before.
    private static func change(_ how: Int32) -> Bool {
        var (set, before) = (sigset_t(), sigset_t())
        sigemptyset(&set)
        sigaddset(&set, signal)
        pthread_sigmask(how, &set, &before)
        return sigismember(&before, signal) == 1
    }

    /// Whether it can be done here: not under the thread sanitizer, which holds signals back until
    /// the thread's next call of the C library.
    package static var isPossible: Bool { !noria_is_thread_sanitized() }

    /// Loads what unwinding needs, some milliseconds' work, and takes a signal that nobody uses.
    package init() throws(Errno) {
        let signal = Int32(try check(Int(Self.signal)))
        noria_stacks_prepare()
        var previous = sigaction()
        _ = try check(noria_stacks_catch(signal, &previous))
        self.previous = previous
    }

    /// A thread's place and return addresses, and what taking them has cost it.
    package struct Stack: Sendable {
        package let addresses: [UInt]
        package let nanoseconds: UInt64
        /// The address of the task that it ran, to be compared only; 0 for none.
        package let task: UInt
    }

    /// Takes the stack of a thread, by its number in /proc, waiting up to `nanoseconds`.
    ///
    /// `timedOut`: it has the signal blocked, or is in a call of the kernel that can't be broken.
    package func take(of thread: Int32, nanoseconds: Int64) throws(Errno) -> Stack {
        var stack = noria_stack()
        _ = try check(Int(noria_stacks_capture(thread, Self.signal, nanoseconds, &stack)))
        let count = Int(stack.count)
        // SAFETY: the C array is one block of that many words, the first `count` of them written.
        let addresses = withUnsafeBytes(of: &stack.addresses) {
            Array($0.bindMemory(to: UInt.self).prefix(count))
        }
        return Stack(
            addresses: addresses,
            nanoseconds: stack.nanoseconds,
            task: UInt(bitPattern: stack.task)
        )
    }

    deinit {
        // With a signal under way that would end the process; the handler does nothing by itself.
        guard !noria_stacks_is_pending() else { return }
        var action = previous
        sigaction(Self.signal, &action, nil)
    }
}
