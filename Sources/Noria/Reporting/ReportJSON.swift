// SPDX-License-Identifier: Apache-2.0
internal import FoundationEssentials

extension Encodable {
    /// As reports are written: keys sorted, a line each; a key without a value is left out.
    ///
    /// - Throws: when a number is none that JSON has.
    package func reportJSON() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }
}
