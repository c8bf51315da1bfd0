// SPDX-License-Identifier: Apache-2.0

/// Every knob of a configuration, and what is wrong with the variables of the environment.
package struct ConfigurationReport: Codable, Sendable {
    /// A variable that begins as ours do and is none.
    package struct UnknownVariable: Codable, Sendable {
        package let name: String
        /// The one that may be meant.
        package let nearest: String
    }

    package let knobs: [KnobReport]
    package let unknownVariables: [UnknownVariable]

    package init(_ configuration: RuntimeConfiguration) {
        knobs = configuration.knobs()
        unknownVariables = configuration.unknownVariables.map(UnknownVariable.init)
    }

    /// Why a runtime would not start: a sentence each.
    package var problems: [String] { knobs.compactMap(\.problem) }

    /// A line for each knob, in columns, then what is wrong or unknown.
    var lines: [String] {
        let head = ["knob", "value", "unit", "default", "from", "variable"]
        let rows =
            [head]
            + knobs.map {
                [$0.name, $0.value, $0.unit, $0.defaultValue, $0.source.rawValue, $0.variable]
            }
        let widths = head.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            zip(row, widths).map { $0.padding(to: $1) }.joined(separator: "  ")
        } + problems.map { "wrong: \($0)" }
            + unknownVariables.map {
                "unknown: \($0.name) is no variable of ours; \($0.nearest) is nearest"
            }
    }
}
