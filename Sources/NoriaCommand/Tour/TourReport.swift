// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Noria

/// The four steps to production.
enum TourSection: String, CaseIterable, Codable, ExpressibleByArgument, Sendable {
    case policy, executors, diagnostics, shutdown

    var title: String {
        switch self {
        case .policy: "a production loop, chosen by a policy"
        case .executors: "blocking and crashing work off the loop"
        case .diagnostics: "debug off, and nothing unseen"
        case .shutdown: "an end that is certain"
        }
    }
}

/// What a tour has shown; the keys of its JSON are an interface.
struct TourReport: Codable, Sendable {
    /// One thing that was tried, and what came of it.
    struct Step: Codable, Sendable {
        let section: TourSection
        let name: String
        let held: Bool
        let finding: String
        /// What to do; nil when it held.
        let advice: String?
        let seconds: Double
        /// By names that end in their unit.
        let figures: [String: Double]
    }

    var steps: [Step] = []
    var seconds = 0.0
    var held = false
    /// The last line of the text.
    var summary = ""

    private enum CodingKeys: CodingKey { case steps, seconds, held }

    var json: String {
        // Numbers, words and lists of them: none of it can fail to be written.
        ((try? reportJSON()) ?? "{}") + "\n"
    }
}
