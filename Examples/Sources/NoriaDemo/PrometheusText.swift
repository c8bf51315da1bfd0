// SPDX-License-Identifier: Apache-2.0
import Noria

/// A page of numbers in the text format 0.0.4 of Prometheus.
///
/// It knows nothing of the runtime's numbers; `RuntimeMetrics.swift` hands them over. Take both files
/// along: they need Noria alone.
struct PrometheusText {
    static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    enum Kind: String { case counter, gauge, summary }

    /// One line: `name + suffix {labels} value`.
    struct Sample {
        var suffix = ""
        var labels: [(name: String, value: String)] = []
        var value: Double
    }

    private(set) var text = ""

    /// A metric with all of its samples, which the format wants to stand together.
    ///
    /// A counter's name ends in `_total`, that of a time in `_seconds`.
    mutating func add(_ name: String, _ kind: Kind, _ help: String, _ samples: [Sample]) {
        text += "# HELP \(name) \(Self.escaped(help))\n# TYPE \(name) \(kind.rawValue)\n"
        for sample in samples {
            let labels = sample.labels
                .map { "\($0.name)=\"\(Self.escaped($0.value, quotes: true))\"" }
                .joined(separator: ",")
            text += "\(name)\(sample.suffix)\(labels.isEmpty ? "" : "{\(labels)}")"
            text += " \(Self.number(sample.value))\n"
        }
    }

    /// A distribution, in the unit of its values.
    static func samples(
        of histogram: HistogramSnapshot,
        _ labels: [(name: String, value: String)]
    ) -> [Sample] {
        let quantiles = [("0.5", histogram.p50), ("0.9", histogram.p90), ("0.99", histogram.p99)]
        let count = Double(histogram.count)
        return quantiles.map { Sample(labels: labels + [("quantile", $0.0)], value: $0.1) } + [
            Sample(suffix: "_sum", labels: labels, value: histogram.mean * count),
            Sample(suffix: "_count", labels: labels, value: count),
        ]
    }

    private static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        return Int64(exactly: value).map { "\($0)" } ?? "\(value)"
    }

    private static func escaped(_ text: String, quotes: Bool = false) -> String {
        var result = ""
        for character in text {
            switch character {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\"" where quotes: result += "\\\""
            default: result.append(character)
            }
        }
        return result
    }
}
