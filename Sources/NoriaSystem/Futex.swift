// SPDX-License-Identifier: Apache-2.0
internal import CNoria

/// The kernel's wait on a word of this process's memory.
package enum Futex {
    /// Sleeps while the word is `expected`, that many nanoseconds at most; negative is for ever.
    ///
    /// It may end early.
    package static func wait(
        on word: UnsafeMutablePointer<UInt32>,
        while expected: UInt32,
        nanoseconds: Int64
    ) {
        noria_futex_wait(word, expected, nanoseconds)
    }

    /// Ends the sleep of one thread.
    package static func wake(_ word: UnsafeMutablePointer<UInt32>) { noria_futex_wake(word) }
}
