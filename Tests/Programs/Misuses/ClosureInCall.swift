// SPDX-License-Identifier: Apache-2.0
import Noria

// error: does not conform to protocol 'Encodable'
struct Work: ProcessPool.Call {
    // error: has non-Sendable type '() -> Int'
    let work: () -> Int
    func run() -> Int { work() }
}
