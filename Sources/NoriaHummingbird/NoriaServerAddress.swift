// SPDX-License-Identifier: Apache-2.0
#if Hummingbird
/// Where a `NoriaApplication` listens.
public enum NoriaServerAddress: Sendable, Hashable {
    /// An IP literal and a port; port 0 takes a free one.
    case hostname(String, port: Int)
    /// A path; a socket that is there is removed before.
    case unixDomainSocket(path: String)
}
#endif
