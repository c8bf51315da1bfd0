// SPDX-License-Identifier: Apache-2.0

/// What the tasks of `noria echo --fail-every` throw.
struct DeliberateError: Error, CustomStringConvertible {
    let message: Int
    var description: String { "DeliberateError: message \(message)" }
}
