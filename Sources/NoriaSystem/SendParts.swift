// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// Several pieces of memory that go out as one: what sendmsg(2) is given.
///
/// The kernel may come back to all of it until the send has ended, to the list as to the memory
/// that it names: who owns it changes nothing meanwhile.
///
/// SAFETY: both allocations live as long as this object, and the list never outgrows its own.
package final class SendParts {
    /// How many pieces go out with one call, of the 1,024 that the kernel takes.
    ///
    /// It copies the list before it sends.
    package static let capacity = 64

    private let message: UnsafeMutablePointer<msghdr>
    private let parts: UnsafeMutablePointer<iovec>
    /// What of the list has not been sent.
    private var start = 0
    private var end = 0
    package private(set) var byteCount = 0

    package init() {
        message = .allocate(capacity: 1)
        message.initialize(to: msghdr())
        parts = .allocate(capacity: Self.capacity)
    }

    deinit {
        message.deallocate()
        parts.deallocate()
    }

    package var isFull: Bool { end == Self.capacity }
    package var count: Int { end - start }

    /// The message, as `Socket.send` and a ring take it.
    package var header: UnsafeRawPointer {
        message.pointee.msg_iov = parts + start
        message.pointee.msg_iovlen = end - start
        return UnsafeRawPointer(message)
    }

    package func append(_ bytes: UnsafeRawBufferPointer) {
        precondition(!isFull, "a list of parts has \(Self.capacity) places")
        // SAFETY: a send reads what the kernel's structure names as mutable.
        let base = UnsafeMutableRawPointer(mutating: bytes.baseAddress)
        (parts + end).initialize(to: iovec(iov_base: base, iov_len: bytes.count))
        end += 1
        byteCount += bytes.count
    }

    package func removeAll() { (start, end, byteCount) = (0, 0, 0) }

    /// Takes off what has been sent.
    package func removeFirst(byteCount count: Int) {
        byteCount -= count
        var left = count
        while start < end {
            let size = parts[start].iov_len
            guard size <= left else {
                parts[start].iov_base += left
                parts[start].iov_len -= left
                return
            }
            left -= size
            start += 1
        }
    }

    /// The bytes that a message names, for a kernel that is simulated.
    package static func bytes(of header: UnsafeRawPointer) -> [UInt8] {
        // SAFETY: it came from `header` of a list that is still there.
        let message = header.assumingMemoryBound(to: msghdr.self).pointee
        return UnsafeBufferPointer(start: message.msg_iov, count: message.msg_iovlen)
            .flatMap { UnsafeRawBufferPointer(start: $0.iov_base, count: $0.iov_len) }
    }
}
