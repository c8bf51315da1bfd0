// SPDX-License-Identifier: Apache-2.0

/// Why there is no report of a process, in one sentence that says what to do.
package struct ProcessRefusal: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description.printable }
}

extension String {
    /// Without what a stranger's name or command line may have for a terminal: control characters,
    /// ends of lines, and marks that turn the direction of a text.
    var printable: String {
        String(
            UnicodeScalarView(
                unicodeScalars.map { scalar in
                    switch scalar.properties.generalCategory {
                    case .control, .format, .lineSeparator, .paragraphSeparator: "?"
                    default: scalar
                    }
                }
            )
        )
    }
}
