// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem
internal import SystemPackage

/// Who is at the other end of a Unix socket, as the kernel knows it (SO_PEERCRED).
///
/// Of one who connected it is the process at its `connect`, of a listener the one at its `listen`:
/// either may have handed its end on since.
public struct PeerCredentials: Sendable, Hashable, CustomStringConvertible {
    /// The process; 0 for one that this process's namespace does not see.
    public let processID: Int32
    /// The effective user.
    public let userID: UInt32
    /// The effective group.
    public let groupID: UInt32

    init(of fd: Int32) throws(Errno) {
        (processID, userID, groupID) = try Socket.peerCredentials(of: fd)
    }

    /// `process 4242, user 1000, group 1000`.
    public var description: String { "process \(processID), user \(userID), group \(groupID)" }
}
