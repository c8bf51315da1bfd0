// SPDX-License-Identifier: Apache-2.0

/// One setting of a runtime as data: where it stands, how it is written, what it may be.
///
/// The environment is read, `--config` is printed and ranges are checked from `Knob.all` alone, so
/// a new knob is one entry there.
struct Knob: Sendable {
    /// Its place in the code: `loops.jobsPerTurn`.
    let name: String
    /// Its variable of the environment: `NORIA_JOBS_PER_TURN`.
    let variable: String
    /// What a bare number counts, or the kind of a value that is none.
    let unit: String
    /// What it may be, in words.
    let range: String
    /// What it does, in one sentence.
    let summary: String
    /// The present value as it would be written.
    let read: @Sendable (RuntimeConfiguration) -> String
    /// Writes a value; false when the text is none.
    let parse: @Sendable (String, inout RuntimeConfiguration) -> Bool
    /// Whether the present value may be.
    let isAllowed: @Sendable (RuntimeConfiguration) -> Bool
    /// Whether the code has decided, and the environment is not read.
    private(set) var isDecided: @Sendable (RuntimeConfiguration) -> Bool = { _ in false }

    /// A knob at a place of the configuration whose value has some form.
    init<Value>(
        _ name: String,
        _ variable: String,
        _ path: any WritableKeyPath<RuntimeConfiguration, Value> & Sendable,
        _ form: KnobForm<Value>,
        _ summary: String
    ) {
        self.name = name
        self.variable = variable
        unit = form.unit
        range = form.range
        self.summary = summary
        read = { form.text($0[keyPath: path]) }
        parse = { text, configuration in
            guard let value = form.value(text) else { return false }
            configuration[keyPath: path] = value
            return true
        }
        isAllowed = { form.allows($0[keyPath: path]) }
    }

    /// A knob of a part that the configuration has more than once.
    init<Part, Value>(
        _ name: String,
        _ variable: String,
        _ part: any WritableKeyPath<RuntimeConfiguration, Part> & Sendable,
        _ path: any WritableKeyPath<Part, Value> & Sendable,
        _ form: KnobForm<Value>,
        _ summary: String
    ) {
        self.name = name
        self.variable = variable
        unit = form.unit
        range = form.range
        self.summary = summary
        read = { form.text($0[keyPath: part][keyPath: path]) }
        parse = { text, configuration in
            guard let value = form.value(text) else { return false }
            configuration[keyPath: part][keyPath: path] = value
            return true
        }
        isAllowed = { form.allows($0[keyPath: part][keyPath: path]) }
    }

    /// The same knob, which must not stand above another.
    func notAbove(
        _ other: String,
        _ isInOrder: @escaping @Sendable (RuntimeConfiguration) -> Bool
    ) -> Knob {
        Knob(copying: self, range: "\(range), not above \(other)") { [isAllowed] in
            isAllowed($0) && isInOrder($0)
        }
    }

    /// The same knob, whose variable is not read while this holds of the code's values.
    func unread(_ isDecided: @escaping @Sendable (RuntimeConfiguration) -> Bool) -> Knob {
        var copy = self
        copy.isDecided = isDecided
        return copy
    }

    private init(
        copying other: Knob,
        range: String,
        isAllowed: @escaping @Sendable (RuntimeConfiguration) -> Bool
    ) {
        (name, variable, unit) = (other.name, other.variable, other.unit)
        (summary, read, parse) = (other.summary, other.read, other.parse)
        self.range = range
        self.isAllowed = isAllowed
    }
}

/// How a kind of value is written, and which values may be.
struct KnobForm<Value>: Sendable {
    let unit: String
    let range: String
    let text: @Sendable (Value) -> String
    let value: @Sendable (String) -> Value?
    let allows: @Sendable (Value) -> Bool

    /// A form of its own, or a word that stands for "not set".
    static func optional<Wrapped>(_ form: KnobForm<Wrapped>, _ word: String) -> Self
    where Value == Wrapped? {
        Self(unit: form.unit, range: "\(form.range), or \(word)") {
            $0.map(form.text) ?? word
        } value: {
            $0 == word ? .some(nil) : form.value($0).map(Optional.some)
        } allows: {
            $0.map(form.allows) ?? true
        }
    }
}

extension KnobForm where Value == Int {
    /// A whole number.
    static func count(_ range: ClosedRange<Int>, _ unit: String) -> Self {
        Self(unit: unit, range: "\(range.lowerBound) to \(range.upperBound) \(unit)") {
            "\($0)"
        } value: {
            Int($0)
        } allows: {
            range.contains($0)
        }
    }
}

extension KnobForm where Value == Duration {
    /// A time, written with its unit.
    static func time(_ range: ClosedRange<Duration>) -> Self {
        let limits = "\(range.lowerBound.text) to \(range.upperBound.text)"
        return Self(unit: "time", range: "\(limits), a whole number with its unit, as 500ms or 25s")
        {
            $0.text
        } value: {
            Duration(text: $0)
        } allows: {
            range.contains($0)
        }
    }
}

extension KnobForm where Value == Bool {
    /// A switch.
    static var flag: Self {
        Self(unit: "switch", range: "on or off") {
            $0 ? "on" : "off"
        } value: {
            ["on": true, "off": false][$0]
        } allows: { _ in
            true
        }
    }
}

extension KnobForm where Value: RawRepresentable<String> & CaseIterable & Sendable {
    /// One of a few words.
    static var choice: Self {
        Self(unit: "choice", range: Value.allCases.map(\.rawValue).joined(separator: " or ")) {
            $0.rawValue
        } value: {
            Value(rawValue: $0)
        } allows: { _ in
            true
        }
    }
}
