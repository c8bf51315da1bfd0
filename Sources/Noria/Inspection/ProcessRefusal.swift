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
        String(UnicodeScalarView(unicodeScalars.map { $0.isSteering ? "?" : $0 }))
    }
}

extension Unicode.Scalar {
    /// Whether it says how a text is shown, and is none itself.
    var isSteering: Bool {
        switch properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: true
        default: false
        }
    }
}
