// SPDX-License-Identifier: Apache-2.0
import NIOCore
import Noria
import Synchronization

/// Why nobody listens: what failed, on what, why, and what to do.
struct ListenError: Error, CustomStringConvertible {
    let address: String
    /// Nil: the name has no address.
    let error: (any Error)?

    var description: String { "listen on \(address): \(reason)" }

    private var reason: String {
        switch error {
        case nil: "the name has no address; name another with '--host'"
        case .some(let error as IOError): reason(of: Errno(rawValue: error.errnoCode))
        case .some(let error): "\(error)"
        }
    }

    private func reason(of error: Errno) -> String {
        switch error {
        case .addressInUse:
            "the address is in use (EADDRINUSE); another process listens there: end it, or"
                + " name another port with '--port'"
        case .permissionDenied:
            "permission denied (EACCES); ports below 1024 need CAP_NET_BIND_SERVICE: name"
                + " another with '--port'"
        case .addressNotAvailable:
            "the address is not of this machine (EADDRNOTAVAIL); name another with '--host'"
        default: "\(error)"
        }
    }
}

/// Set once, from any thread.
final class Flag: Sendable {
    private let value = Atomic<Bool>(false)
    var isSet: Bool { value.load(ordering: .acquiring) }
    func set() { value.store(true, ordering: .releasing) }
}
