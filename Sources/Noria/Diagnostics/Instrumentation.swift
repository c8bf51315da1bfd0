// SPDX-License-Identifier: Apache-2.0

/// Whether loops measure themselves, which they always do.
///
/// `Benchmarks/instructions --bare` builds the library without it (`-D NORIA_BARE`), to see what the
/// measuring costs: the compiler removes what stands under it.
enum Instrumentation {
    @inline(__always)
    static var isOn: Bool {
        #if NORIA_BARE
        false
        #else
        true
        #endif
    }
}
