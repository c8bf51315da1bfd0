// SPDX-License-Identifier: Apache-2.0
internal import CNoria
internal import Glibc
package import SystemPackage

/// Catches signals for as long as it lives and gives back what stood there before.
///
/// The handler marks a bit and writes to the loop's wakeup; the loop asks `take()`.
package struct SignalInbox: ~Copyable {
    private var previous: [(number: Int32, action: sigaction)] = []
    private var toUnblock: [Int32] = []
    private var wereBlocked: [Int32] = []

    /// Sends the handler's wakeups to an eventfd.
    package init(wakeup: Int32) { noria_signals_set_wakeup(wakeup) }

    /// Catches a signal for the whole process.
    package mutating func catchSignal(_ number: Int32) throws(Errno) {
        var action = sigaction()
        _ = try check(noria_signals_catch(number, &action))
        previous.append((number, action))
        toUnblock.append(number)
    }

    /// Whether a signal does what it does by default.
    package static func isDefault(_ number: Int32) -> Bool {
        var action = sigaction()
        guard sigaction(number, nil, &action) == 0 else { return false }
        return action.sa_flags & SA_SIGINFO == 0 && action.__sigaction_handler.sa_handler == nil
    }

    /// Lets the calling thread be interrupted by what was caught since the last call.
    ///
    /// A parent that had a signal blocked, as Dispatch's threads have all, hands that on.
    package mutating func unblock() {
        guard !toUnblock.isEmpty else { return }
        var before = sigset_t()
        var set = Self.set(of: toUnblock)
        pthread_sigmask(SIG_UNBLOCK, &set, &before)
        wereBlocked += toUnblock.filter { sigismember(&before, $0) == 1 }
        toUnblock = []
    }

    /// Restores what a signal did before, and this thread's mask for it.
    package mutating func giveBack(_ number: Int32) {
        guard let index = previous.firstIndex(where: { $0.number == number }) else { return }
        if wereBlocked.contains(number) {
            var set = Self.set(of: [number])
            pthread_sigmask(SIG_BLOCK, &set, nil)
            wereBlocked.removeAll { $0 == number }
        }
        toUnblock.removeAll { $0 == number }
        var action = previous.remove(at: index).action
        sigaction(number, &action, nil)
    }

    private static func set(of numbers: [Int32]) -> sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for number in numbers { sigaddset(&set, number) }
        return set
    }

    /// Writes are answered with EPIPE instead of a signal that ends the process.
    package mutating func ignore(_ number: Int32) throws(Errno) {
        var action = sigaction()
        action.__sigaction_handler.sa_handler = SIG_IGN
        var before = sigaction()
        _ = try check(sigaction(number, &action, &before))
        previous.append((number, before))
    }

    /// The numbers that came since the last call.
    ///
    /// Any thread.
    package static func take() -> [Int32] {
        var bits = noria_signals_take()
        var numbers: [Int32] = []
        while bits != 0 {
            numbers.append(Int32(bits.trailingZeroBitCount))
            bits &= bits - 1
        }
        return numbers
    }

    /// Restores every disposition, the last caught first.
    package mutating func restore() {
        noria_signals_set_wakeup(-1)
        for var entry in previous.reversed() { sigaction(entry.number, &entry.action, nil) }
        previous = []
        toUnblock = []
        var set = Self.set(of: wereBlocked)
        pthread_sigmask(SIG_BLOCK, &set, nil)
        wereBlocked = []
    }

    /// Ends the process as the signal by default does.
    ///
    /// Does not return.
    package static func endProcess(by number: Int32) -> Never {
        noria_signals_end_process(number)
        _exit(128 + number)
    }
}
