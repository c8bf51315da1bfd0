// SPDX-License-Identifier: Apache-2.0
internal import CNoria
internal import Glibc
package import SystemPackage

/// Turns a call's -1 into the error that it left in `errno`.
func check(_ result: Int32) throws(Errno) -> Int32 {
    guard result >= 0 else { throw Errno(rawValue: errno) }
    return result
}

/// Turns a negative number of ours into the error that it is.
package func check(_ result: Int) throws(Errno) -> Int {
    guard result >= 0 else { throw Errno(negated: result) }
    return result
}

extension Errno {
    /// The error in a result that is one: the kernel returns it as a negative number.
    package init(negated result: some BinaryInteger) {
        self.init(rawValue: -Int32(truncatingIfNeeded: result))
    }

    /// The symbolic name, `ECONNREFUSED`, or the number when it has none here.
    package var name: String {
        guard let name = noria_error_name(rawValue) else { return "errno \(rawValue)" }
        return String(cString: name)
    }
}
