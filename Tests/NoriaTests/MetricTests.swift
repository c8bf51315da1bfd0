// SPDX-License-Identifier: Apache-2.0
import NoriaSystem
import SystemPackage
import Testing

@testable import Noria

@Suite("what goes to a metrics system")
struct MetricTests {
    @Test("The page lists each metric with its kind and unit, and no other")
    func page() throws {
        let root = FilePath(#filePath).removingLastComponent().removingLastComponent()
        let page = root.removingLastComponent().appending("docs/metrics.md")
        let text = try SystemFile.text(of: "\(page)")
        let rows = text.split(separator: "\n").filter { $0.hasPrefix("| `noria.") }.map { row in
            row.split(separator: "|").prefix(3).map { $0.filter { $0 != "`" && $0 != " " } }
        }
        #expect(rows == Metric.all.map { [$0.name, $0.kind.rawValue, $0.unit] })
    }

    @Test("A histogram is read twice, and nothing is told twice")
    func intervals() {
        let histogram = Histogram()
        var before = Histogram.Contents()
        for _ in 0..<10 { histogram.record(1_000) }
        let first = Histogram.summary(of: [histogram.change(since: &before)])
        #expect(first.count == 10)
        #expect(first.mean == 1e-6)
        #expect(Histogram.summary(of: [histogram.change(since: &before)]) == HistogramSnapshot.none)
        histogram.record(2_000_000)
        let second = Histogram.summary(of: [histogram.change(since: &before)])
        #expect(second.count == 1)
        #expect(second.mean == 2e-3)
        #expect(second.max >= 2e-3 && second.max <= 2e-3 * 1.07)
        #expect(histogram.snapshot().count == 11)
    }

    @Test("Two of one name are one, and neither is taken for the other")
    func together() {
        let (first, second) = (Histogram(), Histogram())
        var (before, other) = (Histogram.Contents(), Histogram.Contents())
        for _ in 0..<20 { first.record(1_000) }
        for _ in 0..<5 { second.record(3_000) }
        let both = Histogram.summary(of: [
            first.change(since: &before), second.change(since: &other),
        ])
        #expect(both.count == 25)
        #expect(abs(both.mean - 1.4e-6) < 1e-12)
    }

    @Test("A run that begins anew begins at nothing")
    func reset() {
        let histogram = Histogram()
        var before = Histogram.Contents()
        for _ in 0..<10 { histogram.record(1_000) }
        _ = Histogram.summary(of: [histogram.change(since: &before)])
        histogram.reset()
        histogram.record(500)
        #expect(Histogram.summary(of: [histogram.change(since: &before)]).count == 1)
    }
}

extension HistogramSnapshot {
    fileprivate static let none = Histogram().snapshot()
}
