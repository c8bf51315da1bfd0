// SPDX-License-Identifier: Apache-2.0
internal import CNoria
package import SystemPackage

/// A seccomp filter on this process, of the kind that containers bring: for trying fallbacks.
package enum Seccomp {
    /// Has io_uring answered with `error` from now on; there is no way back.
    package static func refuseIOUring(with error: Errno) throws(Errno) {
        _ = try check(Int(noria_refuse_io_uring(error.rawValue)))
    }
}
