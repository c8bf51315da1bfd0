// SPDX-License-Identifier: Apache-2.0
import Noria
import NoriaSystem

/// Goes through the steps, each with children of its own, and judges by what those did.
final class Tour {
    /// What came of a step.
    struct Verdict {
        let held: Bool
        let finding: String
        var advice: String?
        var figures: [String: Double] = [:]
    }

    let runtime: Runtime
    private let output: TourOutput
    private let begin = ContinuousClock.now
    private var report = TourReport()

    /// For the whole tour, and for one step of it; the longest takes 8 s on an idle machine.
    private static let (limit, stepLimit) = (Duration.seconds(60), Duration.seconds(25))

    init(_ runtime: Runtime, writesJSON: Bool) {
        self.runtime = runtime
        output = TourOutput(resultsTo: writesJSON ? 2 : 1)
    }

    func show(_ sections: [TourSection]) async -> TourReport {
        for section in sections {
            output.title("\(section.rawValue): \(section.title)")
            switch section {
            case .policy: await showPolicy()
            case .executors: await showExecutors()
            case .diagnostics: await showDiagnostics()
            case .shutdown: await showShutdown()
            }
        }
        report.seconds = (ContinuousClock.now - begin).seconds.rounded(toPlaces: 3)
        let heldCount = report.steps.count(where: \.held)
        // Who was interrupted has not shown all.
        report.held = heldCount == report.steps.count && runtime.shutdown.phase == .running
        let count = "\(heldCount) of \(report.steps.count) held"
        report.summary =
            runtime.shutdown.phase == .running
            ? "\n\(count), in \(Int(report.seconds.rounded())) s\n"
            : "\ninterrupted: \(count) by then\n"
        return report
    }

    /// Tries one thing; what it throws is a finding, too.
    func step(
        _ section: TourSection,
        _ name: String,
        doing: String,
        _ look: () async throws -> Verdict
    ) async {
        guard runtime.shutdown.phase == .running else { return }
        output.progress(doing)
        let began = ContinuousClock.now
        let left = min(Self.stepLimit, Self.limit - (began - begin))
        let verdict = await verdict(of: look, section, name, within: left)
        guard runtime.shutdown.phase == .running else {
            return output.title("interrupted at '\(name)'")
        }
        let advice = verdict.held ? nil : verdict.advice
        output.result(held: verdict.held, "\(name): \(verdict.finding)", advice: advice)
        report.steps.append(
            TourReport.Step(
                section: section,
                name: name,
                held: verdict.held,
                finding: verdict.finding,
                advice: advice,
                seconds: (ContinuousClock.now - began).seconds.rounded(toPlaces: 3),
                figures: verdict.figures.mapValues { $0.rounded(toPlaces: 3) }
            )
        )
    }

    func progress(_ text: String) { output.progress(text) }

    /// What the look has found, or why it could not be done.
    private func verdict(
        of look: () async throws -> Verdict,
        _ section: TourSection,
        _ name: String,
        within limit: Duration
    ) async -> Verdict {
        guard limit > .zero else {
            return Verdict(held: false, finding: "not tried: the tour's \(Self.limit) are over")
        }
        do {
            return try await withTimeout(limit, name: name, look)
        } catch {
            return Verdict(
                held: false,
                finding: "\(error)",
                advice: "mend that, and try it alone: 'noria tour \(section.rawValue)'"
            )
        }
    }
}

/// Results where they were asked for, and what is being done on standard error.
private struct TourOutput {
    private let results: Int32
    /// One line is enough where it can be written anew.
    private let isTerminal: Bool

    init(resultsTo descriptor: Int32) {
        results = descriptor
        isTerminal = Descriptor.isTerminal(2)
    }

    func title(_ text: String) { result("\n\(text)\n") }

    func result(held: Bool, _ text: String, advice: String?) {
        let mark = held ? "✔" : "✘"
        result("  \(mark) \(text)\n" + (advice.map { "      -> \($0)\n" } ?? ""))
    }

    func progress(_ text: String) {
        // A line that wraps can't be written anew.
        let line = "  … \(text)"
        Thread.write(isTerminal ? "\r\u{1b}[K\(line.prefix(72))" : "\(line)\n", to: 2)
    }

    private func result(_ text: String) {
        if isTerminal { Thread.write("\r\u{1b}[K", to: 2) }
        Thread.write(text, to: results)
    }
}
