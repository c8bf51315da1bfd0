// SPDX-License-Identifier: Apache-2.0
internal import Logging
internal import NoriaSystem
internal import SystemPackage

/// The process's limit of descriptors while a runtime runs: what its hard limit allows.
///
/// A server's connections are descriptors, and the usual soft limit of 1,024 is there for programs
/// that use `select`. Children get the old one back where that can be done: docs/decisions/0009.
struct RaisedDescriptorLimit {
    /// The soft limit before.
    let original: Int
    private let isRaised: Bool

    /// More than anybody has, and what the kernel's own `fs.nr_open` allows by default; a soft
    /// limit of a billion, as containers may have it, makes children spin that close every number.
    private static let highest: UInt64 = 1_048_576

    /// As it stands: an embedded runtime leaves it to the program.
    static var untouched: Self {
        Self(original: Int(clamping: (try? DescriptorLimit.read())?.soft ?? 0), isRaised: false)
    }

    static func raise(_ logger: Logger) -> Self {
        guard let (soft, hard) = try? DescriptorLimit.read() else {
            logger.warning("descriptors: the limit can't be read")
            return Self(original: 0, isRaised: false)
        }
        let wanted = min(hard, highest)
        var isRaised = false
        if soft < wanted {
            do throws(Errno) {
                try DescriptorLimit.set(soft: wanted)
                DescriptorLimit.setInForks(soft: soft)
                isRaised = true
                logger.info("descriptors: the limit was \(soft), and is \(wanted) (hard \(hard))")
            } catch {
                logger.warning("descriptors: the limit of \(soft) can't be raised: \(error)")
            }
        } else {
            logger.debug("descriptors: the limit is \(soft) (hard \(hard))")
        }
        return Self(original: Int(clamping: soft), isRaised: isRaised)
    }

    /// Puts the old limit in force again, which it was before, and so is allowed.
    func restore() {
        guard isRaised else { return }
        DescriptorLimit.setInForks(soft: nil)
        try? DescriptorLimit.set(soft: UInt64(original))
    }
}
