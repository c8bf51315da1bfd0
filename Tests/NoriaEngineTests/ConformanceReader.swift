// SPDX-License-Identifier: Apache-2.0
import Synchronization

/// A peer that reads a number of bytes and keeps them.
final class Reader: Sendable {
    let fd: Int32
    let count: Int
    let bytes = Mutex<[UInt8]>([])

    init(_ fd: Int32, _ count: Int) { (self.fd, self.count) = (fd, count) }

    func run() {
        let received = Sockets.receive(fd, exactly: count)
        bytes.withLock { $0 = received }
    }
}
