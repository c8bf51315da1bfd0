// SPDX-License-Identifier: Apache-2.0
import Glibc

/// The end of a service manager's that services tell things to: systemd's, played by a test.
package final class NotifySocket: Sendable {
    package struct Message: Sendable {
        package let lines: [String]
        /// What came with it, and is the receiver's.
        package let descriptor: Int32?
    }

    private let fd: Int32
    package let path: String
    private let folder: TemporaryFolder

    package init() throws {
        folder = try TemporaryFolder()
        path = "\(folder.path)/notify"
        fd = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard UnixName.apply(path, bind, to: fd) == 0 else {
            throw ChildProcess.Failure("can't bind \(path)")
        }
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(fd) }

    /// The next message, for which it waits 20 s.
    package func receive() throws -> Message {
        var bytes = [UInt8](repeating: 0, count: 4096)
        // A header of 16 bytes, a descriptor, and what fills up to eight.
        var control = [UInt8](repeating: 0, count: 24)
        let (count, controlCount) = bytes.withUnsafeMutableBytes { bytes in
            control.withUnsafeMutableBytes { control in
                var piece = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
                return withUnsafeMutablePointer(to: &piece) { piece in
                    var message = msghdr()
                    (message.msg_iov, message.msg_iovlen) = (piece, 1)
                    message.msg_control = control.baseAddress
                    message.msg_controllen = control.count
                    let count = recvmsg(fd, &message, Int32(MSG_CMSG_CLOEXEC))
                    return (count, message.msg_controllen)
                }
            }
        }
        guard count >= 0 else {
            throw ChildProcess.Failure("no message: \(String(cString: strerror(errno)))")
        }
        let descriptor: Int32? =
            controlCount >= 20
            ? control.withUnsafeBytes { $0.load(fromByteOffset: 16, as: Int32.self) } : nil
        let text = String(decoding: bytes.prefix(count), as: UTF8.self)
        return Message(
            lines: text.split(separator: "\n").map(String.init),
            descriptor: descriptor
        )
    }

    /// Fills the queue with messages of its own, until it takes no more: how many.
    package func fill() -> Int {
        let sender = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { close(sender) }
        guard UnixName.apply(path, connect, to: sender) == 0 else { return 0 }
        var count = 0
        while send(sender, "FULL=1", 6, Int32(MSG_DONTWAIT)) == 6 { count += 1 }
        return count
    }

    /// Whether a message comes within a time: a look, not a wait for it.
    package func hasMessage(within milliseconds: Int32) -> Bool {
        var entry = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, milliseconds) > 0
    }
}
