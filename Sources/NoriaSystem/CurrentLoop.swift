// SPDX-License-Identifier: Apache-2.0
internal import CNoria

/// The word of thread-local memory that says which loop this thread turns.
package enum CurrentLoop {
    /// The loop's address, or nil off the loops: two instructions.
    package static var pointer: UnsafeMutableRawPointer? {
        get { noria_current_loop() }
        set { noria_set_current_loop(newValue) }
    }
}
