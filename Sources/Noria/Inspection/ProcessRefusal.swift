// SPDX-License-Identifier: Apache-2.0

/// Why there is no report of a process, in one sentence that says what to do.
package struct ProcessRefusal: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}
