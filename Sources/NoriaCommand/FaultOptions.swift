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

    func check() throws {
        if let blockEvery, blockEvery < 1 {
            throw ValidationError("'--block-every \(blockEvery)': from 1 on")
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
        guard let blockEvery else { return nil }
        return Faults(blockEvery: blockEvery, blockFor: blockFor ?? 1500)
    }
}

/// Counts the messages of all connections, and makes a fault at its turn.
final class Faults: Sendable {
    private let blockEvery: Int
    private let blockFor: Int
    private let messages = Atomic<Int>(0)

    init(blockEvery: Int, blockFor: Int) {
        self.blockEvery = blockEvery
        self.blockFor = blockFor
    }

    func count() {
        let number = messages.wrappingAdd(1, ordering: .relaxed).newValue
        if number.isMultiple(of: blockEvery) { blockOnPurpose(milliseconds: blockFor) }
    }
}

/// What no code on a loop may do. It sleeps again after EINTR, until its time is over.
@inline(never)
func blockOnPurpose(milliseconds: Int) {
    Thread.sleep(nanoseconds: Int64(milliseconds) * 1_000_000)
}
