// SPDX-License-Identifier: Apache-2.0

/// Ends the process when a property doesn't hold; libFuzzer then writes the input down.
///
/// Unlike `precondition`, it says what was wrong in an optimised build, too.
public func expect(_ holds: Bool, _ property: @autoclosure () -> String) {
    if !holds { fatalError(property()) }
}
