// SPDX-License-Identifier: Apache-2.0

/// The kernel interface under a loop.
@nonexhaustive
public enum BackendKind: String, Codable, CaseIterable, Sendable, CustomStringConvertible {
    /// Submission and completion queues shared with the kernel, Linux 6.1 and later.
    case ioUring = "io_uring"
    /// Readiness by `epoll(7)`, edge-triggered.
    case epoll
    /// Readiness by `poll(2)`: everywhere, and slower with every descriptor.
    case poll
    /// No kernel at all: a seeded, virtual one for tests.
    case simulated

    /// The name as in the documentation of the kernel: `io_uring`, `epoll`, `poll`.
    public var description: String { rawValue }
}
