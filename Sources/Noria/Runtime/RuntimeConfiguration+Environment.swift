// SPDX-License-Identifier: Apache-2.0
internal import NoriaSystem

/// What the `NORIA_*` variables of the environment say, by the table of knobs.
extension RuntimeConfiguration {
    /// Every knob, its value with the environment's in it, and where that came from.
    ///
    /// It throws nothing, so that a wrong value can be shown: its `problem` says what is wrong.
    package func knobs() -> [KnobReport] { knobs(Self.environment) }

    func knobs(_ environment: [String: String]) -> [KnobReport] {
        let (configuration, unread) = reading(environment)
        return Knob.all.map { KnobReport($0, configuration, unread: unread[$0.name]) }
    }

    /// The configuration with the environment's values in it, each knob checked.
    ///
    /// - Throws: `.configuration` with every knob that is out of its range.
    func withEnvironment(_ environment: [String: String] = environment) throws(RuntimeError) -> Self
    {
        let problems = knobs(environment).compactMap(\.problem)
        guard problems.isEmpty else {
            throw RuntimeError(.configuration(problems.joined(separator: "; ")))
        }
        return reading(environment).configuration
    }

    /// Variables that begin as ours do and are none, each with the one that may be meant.
    package var unknownVariables: [(name: String, nearest: String)] {
        readsEnvironment ? Self.unknownVariables(in: Self.environment) : []
    }

    static func unknownVariables(in environment: [String: String]) -> [(
        name: String, nearest: String
    )] {
        let known = Knob.all.map(\.variable)
        return environment.keys.filter { !known.contains($0) }.sorted().map { name in
            let nearest = known.min { $0.distance(to: name) < $1.distance(to: name) }
            return (name, nearest ?? "")
        }
    }

    private static var environment: [String: String] {
        // A worker's place is none of a configuration, when user code runs before it is taken.
        Thread.environment(prefixed: "NORIA_").filter { $0.key != WorkerSeat.variable }
    }

    /// Takes what can be read; the rest comes back by its knob's name.
    private func reading(
        _ environment: [String: String]
    ) -> (configuration: Self, unread: [String: String]) {
        var copy = self
        var unread: [String: String] = [:]
        guard readsEnvironment else { return (copy, unread) }
        for knob in Knob.all where !typedKnobs.contains(knob.name) && !knob.isDecided(self) {
            guard let text = environment[knob.variable], !text.isEmpty else { continue }
            if knob.parse(text, &copy) {
                copy.environmentKnobs.insert(knob.name)
            } else {
                unread[knob.name] = text
            }
        }
        return (copy, unread)
    }
}

extension Duration {
    /// Reads `500us`, `20ms`, `25s`, `2m`: a whole number and its unit.
    init?(text: String) {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let count = Int64(digits), count <= 1_000_000_000 else { return nil }
        switch text.dropFirst(digits.count) {
        case "ns": self = .nanoseconds(count)
        case "us": self = .microseconds(count)
        case "ms": self = .milliseconds(count)
        case "s": self = .seconds(count)
        case "m": self = .seconds(count * 60)
        default: return nil
        }
    }

    /// As `init(text:)` reads it, in the largest unit that leaves nothing over.
    var text: String {
        let (seconds, attoseconds) = components
        guard attoseconds != 0 else { return "\(seconds)s" }
        for (unit, size) in [("ms", 1_000_000_000_000_000), ("us", 1_000_000_000_000)]
            as [(String, Int64)]
        where attoseconds % size == 0 {
            let (product, overflow) = seconds.multipliedReportingOverflow(
                by: 1_000_000_000_000_000_000 / size
            )
            guard !overflow else { break }
            return "\(product + attoseconds / size)\(unit)"
        }
        return "\(nanoseconds)ns"
    }
}

extension String {
    /// How many letters are to be put in, taken out or changed to make the other of it.
    func distance(to other: String) -> Int {
        var row = Array(0...other.utf8.count)
        for (index, letter) in utf8.enumerated() {
            var diagonal = row[0]
            row[0] = index + 1
            for (place, otherLetter) in other.utf8.enumerated() {
                let changed = diagonal + (letter == otherLetter ? 0 : 1)
                diagonal = row[place + 1]
                row[place + 1] = Swift.min(changed, row[place] + 1, row[place + 1] + 1)
            }
        }
        return row[other.utf8.count]
    }
}
