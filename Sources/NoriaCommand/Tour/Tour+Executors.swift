// SPDX-License-Identifier: Apache-2.0
import FoundationEssentials
import Noria

/// Step 2: without it, one slow query stops every connection, and one crash ends the service.
extension Tour {
    func showExecutors() async {
        await step(.executors, "blocking calls", doing: "30 calls a second that block for 200 ms") {
            try await self.blockingCalls()
        }
        await step(.executors, "worker processes", doing: "3,000 calls, some end their worker") {
            try await self.workers()
        }
    }

    /// Two threads where six are needed: the pool finds that out by the wait that it measures.
    private func blockingCalls() async throws -> Verdict {
        let (result, _): (OffloadResult, TourChild.End) = try await lastWord(
            ["offload", "--rate", "30", "--job-ms", "200", "--seconds", "6", "--limit", "2"]
        )
        return Verdict(
            held: result.limitEnd > result.limitStart && result.waitP50LastMs < 50
                && result.loopDelayP99Ms < 100 && result.refused == 0 && result.completed > 0,
            finding: "the pool went from \(result.limitStart) to \(result.limitEnd) threads until"
                + " calls waited for \(result.waitP50LastMs.rounded(toPlaces: 1)) ms (bound: 50 ms);"
                + " a timer on the loop was"
                + " \(result.loopDelayP99Ms.rounded(toPlaces: 1)) ms late meanwhile (p99)",
            advice: "'noria offload' shows each second what the pool decides, and why",
            figures: [
                "threadLimitCount": Double(result.limitEnd),
                "waitMilliseconds": result.waitP50LastMs,
                "loopDelayMilliseconds": result.loopDelayP99Ms,
            ]
        )
    }

    /// A death costs the call that died, and no other.
    private func workers() async throws -> Verdict {
        struct Result: Decodable {
            let calls, results, errors, deaths, replaced, lost, zombies: Int
        }
        let (result, end): (Result, TourChild.End) = try await lastWord(
            ["work", "--calls", "3000", "--crash-rate", "0.005"]
        )
        // Chance may let three die in a row; then the pool says so, rests, and refuses.
        let hasRested = end.lines.contains { $0.contains("workers die one after the other") }
        return Verdict(
            held: result.deaths > 0
                && (result.errors == result.deaths || hasRested && result.errors > result.deaths)
                && result.replaced == result.deaths && result.lost == 0 && result.zombies == 0
                && result.results == result.calls - result.errors,
            finding: "\(result.deaths) workers died and were replaced, \(result.errors) calls"
                + " failed for it, \(result.results) of \(result.calls) came back right,"
                + " \(result.lost) lost, \(result.zombies) zombies"
                + (hasRested ? "; it rested after deaths in a row" : ""),
            advice: "'noria work --calls 3000 --crash-rate 0.005' shows how it went",
            figures: ["deathsCount": Double(result.deaths), "lostCount": Double(result.lost)]
        )
    }

    /// Runs a child to its end, tells its progress, and reads the JSON that it ends with.
    private func lastWord<Result: Decodable>(
        _ arguments: [String]
    ) async throws -> (Result, TourChild.End) {
        let end = try await TourChild.run(arguments) { child in
            while let line = try await child.nextLine() {
                // Not the log, which begins with a date, nor the result.
                if !line.hasPrefix("20"), !line.hasPrefix("{") { self.progress(line) }
            }
        }
        guard end.exitCode == 0, let json = end.json else {
            throw TourChild.Failure(
                "noria \(arguments.joined(separator: " ")): \(end.status):"
                    + " \(end.lines.last ?? "it said nothing")"
            )
        }
        return (try JSONDecoder().decode(Result.self, from: Data(json.utf8)), end)
    }
}
