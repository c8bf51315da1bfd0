// SPDX-License-Identifier: Apache-2.0
internal import CNoria
internal import Glibc
package import SystemPackage

/// What passes between a process and the manager that has started it: sd_notify(3), sd_listen_fds(3).
package enum ServiceManager {
    /// Tells it something, with a copy of a descriptor unless that is nil.
    ///
    /// It never waits: a manager that takes nothing is an error.
    package static func notify(
        _ address: SocketStorage,
        _ text: String,
        descriptor: Int32? = nil
    ) throws(Errno) {
        var text = text
        let result = text.withUTF8 { bytes in
            // SAFETY: address and text are lent for the call, which copies both.
            address.withBytes { start, byteCount in
                bytes.withMemoryRebound(to: CChar.self) {
                    noria_notify(start, byteCount, $0.baseAddress, $0.count, descriptor ?? -1)
                }
            }
        }
        _ = try check(result)
    }

    /// The first descriptor that a manager passes on: SD_LISTEN_FDS_START.
    package static let firstDescriptor: Int32 = 3

    /// Makes an inherited descriptor ours: no child has it, and a call on it does not wait.
    ///
    /// The second is the open file's, and so the manager's, too.
    package static func adopt(_ fd: Int32) throws(Errno) {
        _ = try check(fcntl(fd, F_SETFD, FD_CLOEXEC))
        let flags = try check(fcntl(fd, F_GETFL))
        _ = try check(fcntl(fd, F_SETFL, flags | O_NONBLOCK))
    }

    package enum Family { case ip, unix, other }

    /// The family of a stream socket that listens.
    package static func listeningFamily(of fd: Int32) throws(Errno) -> Family {
        switch Int32(try check(noria_listening_family(fd))) {
        case AF_INET, AF_INET6: .ip
        case AF_UNIX: .unix
        default: .other
        }
    }
}
