// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Noria
import NoriaSystem
import Synchronization

/// Faults that `noria echo` makes on purpose, so that one sees what is said of them.
struct FaultOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Every N-th message blocks its loop, in a function called 'blockOnPurpose'.",
            valueName: "n"
        )
    )
    var blockEvery: Int?

    @Option(
        help: ArgumentHelp(
            "How long it blocks, in milliseconds. (default: 1500)",
            valueName: "ms"
        )
    )
    var blockFor: Int?

    @Option(
        help: ArgumentHelp(
            "Every N-th message begins a task that throws a 'DeliberateError' that nobody awaits.",
            valueName: "n"
        )
    )
    var failEvery: Int?

    func check() throws {
        if let blockEvery, blockEvery < 1 {
            throw ValidationError("'--block-every \(blockEvery)': from 1 on")
        }
        if let failEvery, failEvery < 1 {
            throw ValidationError("'--fail-every \(failEvery)': from 1 on")
        }
        if let blockFor {
            guard (1...600_000).contains(blockFor) else {
                throw ValidationError("'--block-for \(blockFor)': from 1 to 600000 ms")
            }
            guard blockEvery != nil else {
                throw ValidationError("'--block-for' needs '--block-every'")
            }
        }
    }

    /// Nil: none.
    var wanted: Faults? {
        guard blockEvery != nil || failEvery != nil else { return nil }
        return Faults(blockEvery: blockEvery, blockFor: blockFor ?? 1500, failEvery: failEvery)
    }
}

/// Counts the messages of all connections, and makes a fault at its turn.
final class Faults: Sendable {
    private let blockEvery: Int?
    private let blockFor: Int
    private let failEvery: Int?
    private let messages = Atomic<Int>(0)

    init(blockEvery: Int?, blockFor: Int, failEvery: Int?) {
        self.blockEvery = blockEvery
        self.blockFor = blockFor
        self.failEvery = failEvery
    }

    func count() {
        let number = messages.wrappingAdd(1, ordering: .relaxed).newValue
        if let failEvery, number.isMultiple(of: failEvery) {
            Task(name: "deliberate failure") { throw DeliberateError(message: number) }
        }
        if let blockEvery, number.isMultiple(of: blockEvery) {
            blockOnPurpose(milliseconds: blockFor)
        }
    }
}

/// What no code on a loop may do.
///
/// It sleeps again after EINTR, until its time is over. The loop keeps the call from being the last
/// thing here, in whose place the optimiser would put it.
@inline(never)
func blockOnPurpose(milliseconds: Int) {
    let end = MonotonicClock.now + UInt64(milliseconds) * 1_000_000
    var now = MonotonicClock.now
    while now < end {
        Thread.sleep(nanoseconds: Int64(end - now))
        now = MonotonicClock.now
    }
}
