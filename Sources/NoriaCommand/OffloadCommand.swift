// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Noria

/// Feeds the default executor for blocking work, and shows what it makes of that.
struct OffloadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "offload",
        abstract: "Feed the pool for blocking calls at some rate, and watch its limit follow.",
        discussion: """
            A line a second says how many threads the pool may have and has, how many calls wait \
            and for how long, and what the pool has decided. The last line is one JSON object whose \
            keys stay: limitStart, limitEnd, limitMax, waitP50Ms, waitP99Ms, waitP50LastMs (of the \
            last fifth of the run), queueDepthMax, refused, completed, loopDelayP99Ms (how late a \
            timer of 1 ms is on the loop).

            Try 'noria offload --rate 30 --job-ms 200 --seconds 10 --limit 2': six threads are \
            needed. With --compute the jobs compute instead of sleeping, and more threads than \
            processors are of no use. '--limit 8 --maximum 8' keeps the limit where it is.
            """
    )

    @Option(help: "Jobs a second.")
    var rate = 30.0

    @Option(name: .customLong("job-ms"), help: "How long one job takes, in milliseconds.")
    var jobMilliseconds = 200.0

    @Option(help: "How long the load lasts, in seconds.")
    var seconds = 10.0

    @Option(help: "Threads at most, to begin with. (default: min(32, processors × 4))")
    var limit: Int?

    @Option(help: "What the limit may grow to. (default: four times the start, at most 128)")
    var maximum: Int?

    @Flag(help: "The jobs compute instead of sleeping.")
    var compute = false

    func validate() throws {
        guard rate > 0, rate <= 1_000_000 else {
            throw ValidationError("'--rate \(rate)': jobs a second, above 0, at most 1000000")
        }
        guard jobMilliseconds >= 0, jobMilliseconds <= 3_600_000 else {
            throw ValidationError("'--job-ms \(jobMilliseconds)': from 0 to 3600000")
        }
        guard seconds > 0, seconds <= 86_400 else {
            throw ValidationError("'--seconds \(seconds)': above 0, at most 86400")
        }
        for (name, value) in [("limit", limit), ("maximum", maximum)] {
            if let value, !(1...1024).contains(value) {
                throw ValidationError("'--\(name) \(value)': from 1 to 1024")
            }
        }
        if let limit, let maximum, limit > maximum {
            throw ValidationError("'--limit \(limit)' is above '--maximum \(maximum)'")
        }
    }

    func run() throws {
        let configuration = RuntimeConfiguration.production.with {
            if let limit {
                $0.blocking.threadLimit = limit
                $0.blocking.maximumThreadLimit = max(limit, min(128, limit * 4))
                $0.typedKnobs.formUnion(["blocking.threadLimit", "blocking.maximumThreadLimit"])
            }
            if let maximum {
                $0.blocking.maximumThreadLimit = maximum
                $0.blocking.threadLimit = min($0.blocking.threadLimit, maximum)
                $0.typedKnobs.formUnion(["blocking.threadLimit", "blocking.maximumThreadLimit"])
            }
        }
        let offload = Offload(
            period: .nanoseconds(Int64(1e9 / rate)),
            job: .nanoseconds(Int64(jobMilliseconds * 1e6)),
            length: .nanoseconds(Int64(seconds * 1e9)),
            computes: compute
        )
        Runtime.main(configuration) { runtime in try await offload.run(on: runtime) }
    }
}
