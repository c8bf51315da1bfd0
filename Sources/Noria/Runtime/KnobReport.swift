// SPDX-License-Identifier: Apache-2.0

/// One knob of a configuration: its value, and where that came from.
package struct KnobReport: Codable, Sendable {
    /// Who has set a value; later ones override earlier ones.
    package enum Source: String, Codable, Sendable {
        case `default`
        case code
        case environment
    }

    /// Its place in the code: `loops.jobsPerTurn`.
    package let name: String
    /// Its variable of the environment: `NORIA_JOBS_PER_TURN`.
    package let variable: String
    /// The value as it would be written into the variable.
    package let value: String
    package let source: Source
    package let defaultValue: String
    /// What a bare number counts (`jobs`, `bytes`), or the kind of value (`time`, `switch`).
    package let unit: String
    /// What it may be, in words.
    package let range: String
    /// What it does, in one sentence.
    package let summary: String
    /// Why a runtime would not start with it, as one sentence; nil when it would.
    package let problem: String?
}

extension KnobReport {
    /// `unread` is what the environment says and nobody can read.
    init(_ knob: Knob, _ configuration: RuntimeConfiguration, unread: String?) {
        name = knob.name
        variable = knob.variable
        value = unread ?? knob.read(configuration)
        defaultValue = knob.read(RuntimeConfiguration())
        source =
            if unread != nil || configuration.environmentKnobs.contains(name) {
                .environment
            } else {
                value == defaultValue ? .default : .code
            }
        unit = knob.unit
        range = knob.range
        summary = knob.summary
        guard unread != nil || !knob.isAllowed(configuration) else {
            problem = nil
            return
        }
        let place =
            switch source {
            case .environment: "\(variable)=\(value) in the environment (\(name))"
            case .code: "\(name) = \(value) in the code"
            case .default: "\(name) = \(value), the default,"
            }
        problem = "\(place) is not allowed; it may be \(range)"
    }
}
