// SPDX-License-Identifier: Apache-2.0
import Noria
import Synchronization

/// What the tasks of `noria echo --fail-every` throw.
struct DeliberateError: Error, CustomStringConvertible {
    let message: Int
    var description: String { "DeliberateError: message \(message)" }
}

/// Begins a task that fails at every N-th message: what becomes of errors that nobody awaits.
final class DeliberateFailures: Sendable {
    private let period: Int
    private let count = Atomic<Int>(0)

    init(every period: Int) { self.period = period }

    func note() {
        let number = count.wrappingAdd(1, ordering: .relaxed).newValue
        guard number % period == 0 else { return }
        Task(name: "deliberate failure") { throw DeliberateError(message: number) }
    }
}
