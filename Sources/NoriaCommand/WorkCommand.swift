// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Noria
import NoriaSystem

/// Worker processes at work, while some of them are killed.
struct WorkCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "work",
        abstract: "Feed worker processes with calls, and kill some of them at it.",
        discussion: """
            Each call counts the primes below 2,000 and sends a kibibyte there and back. A part of \
            the calls, --crash-rate, ends its worker instead: one half by a trap, one half by \
            SIGKILL. That call, and no other, ends with an error; the worker is replaced.

            Standard error shows a line a second. Standard output has one line at the end, JSON \
            whose keys stay:
              calls     given to the pool
              results   that came back and are right
              errors    that came back, one for each call that has no result
              deaths    of workers, but for the end of the pool
              replaced  workers that were started for them
              lost      calls that were answered never, twice or wrongly: 0
              zombies   processes that ended and were not waited for: 0

            The exit code is 0 when nothing was lost and no zombie is left, else 1. SIGTERM and \
            SIGINT end it early, with the same line. Workers that die one after the other without \
            a result between them, as at a high rate, have the pool rest for a second and longer: \
            calls are refused then, which counts as their error, and ten are tried a second.

            'noria work --workers 4 --calls 10000 --crash-rate 0.01'
            """
    )

    @Option(help: "The worker processes, at most. (default: the processors)")
    var workers: Int?

    @Option(help: "The calls to make.")
    var calls = 10_000

    @Option(
        help: ArgumentHelp(
            "The part of the calls that end their worker: 0.01, or 1%.",
            valueName: "rate"
        )
    )
    var crashRate = Rate(value: 0.01)

    @Option(help: "The kernel interface: io_uring, epoll, poll or automatic. (default: automatic)")
    var backend: String?

    @OptionGroup var filter: FilterOptions

    struct Rate: ExpressibleByArgument, CustomStringConvertible {
        var value: Double
        /// As it was typed.
        let description: String

        init(value: Double) {
            self.value = value
            description = "\(value)"
        }

        init?(argument: String) {
            let isPercent = argument.hasSuffix("%")
            guard let number = Double(isPercent ? String(argument.dropLast()) : argument) else {
                return nil
            }
            value = isPercent ? number / 100 : number
            description = argument
        }
    }

    func validate() throws {
        if let workers, !(1...1024).contains(workers) {
            throw ValidationError("'--workers \(workers)': from 1 to 1024")
        }
        guard (1...1_000_000_000).contains(calls) else {
            throw ValidationError("'--calls \(calls)': from 1 to 1000000000")
        }
        guard (0...1).contains(crashRate.value) else {
            throw ValidationError("'--crash-rate \(crashRate)': from 0 to 1, or 0% to 100%")
        }
        if let backend, BackendPolicy(argument: backend) == nil {
            throw ValidationError(
                "'--backend \(backend)' is no backend; use automatic, io_uring, epoll or poll"
            )
        }
    }

    func run() throws {
        try filter.apply()
        let configuration = RuntimeConfiguration.production.with {
            // A trap says so there, and the progress is there.
            $0.processes.passesOnStandardError = false
            if let policy = backend.flatMap(BackendPolicy.init(argument:)) {
                $0.backend = policy
                $0.typedKnobs.insert("backend")
            }
            if let workers {
                $0.processes.workerCount = workers
                $0.typedKnobs.insert("processes.workerCount")
            }
        }
        let (calls, rate) = (calls, crashRate.value)
        let outcome = try started { () throws(RuntimeError) in
            try Runtime.run(configuration) { runtime in
                await WorkRun(runtime, calls: calls, crashRate: rate).run()
            }
        }
        let tally = try outcome.value
        // The pool has ended with the runtime: what is left now stays.
        let zombies = Child.unreaped().zombies
        try say(tally.json(zombies: zombies) + "\n")
        guard tally.lost == 0, zombies == 0 else { throw ExitCode.failure }
    }
}
