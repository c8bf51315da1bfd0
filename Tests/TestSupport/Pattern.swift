// SPDX-License-Identifier: Apache-2.0

extension [UInt8] {
    /// Bytes that tell where they belong: no two places of a message look alike.
    package static func pattern(_ count: Int, seed: Int = 0) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: ($0 &* 31) ^ ($0 >> 8) &+ seed) }
    }
}
