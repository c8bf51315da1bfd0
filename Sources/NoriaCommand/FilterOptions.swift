// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import NoriaSystem
import SystemPackage

/// A seccomp filter on the program itself, so that the fallback can be seen without a container.
struct FilterOptions: ParsableArguments {
    enum Refusal: String, ExpressibleByArgument {
        case eperm
        case enosys

        var errno: Errno { self == .eperm ? .notPermitted : .noFunction }
    }

    @Option(
        help: ArgumentHelp(
            "Have the kernel refuse io_uring by a seccomp filter: eperm or enosys.",
            visibility: .hidden
        )
    )
    var refuseIoUring: Refusal?

    func apply() throws {
        guard let refuseIoUring else { return }
        try Seccomp.refuseIOUring(with: refuseIoUring.errno)
    }
}
