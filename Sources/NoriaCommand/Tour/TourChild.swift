// SPDX-License-Identifier: Apache-2.0
import Noria
import NoriaSystem
import Subprocess
import SystemPackage

/// This program once more, as a child process that the tour reads and signals.
///
/// It is killed when the step's time is up, and no step leaves one.
final class TourChild {
    struct Failure: Error, CustomStringConvertible {
        let description: String
        init(_ description: String) { self.description = description }
    }

    /// What a child left behind.
    struct End {
        /// Nil when a signal ended it.
        let exitCode: Int32?
        /// From the signal that the tour sent to the end of its output, which is its own.
        let seconds: Double?
        /// All it said, standard output and error in the order in which it came.
        let lines: [String]

        var status: String { exitCode.map { "exit code \($0)" } ?? "killed by a signal" }

        /// The JSON object on its output: one line, or the lines between two braces.
        var json: String? {
            if let line = lines.last(where: { $0.hasPrefix("{\"") }) { return line }
            guard let start = lines.firstIndex(of: "{"),
                let end = lines[start...].firstIndex(of: "}")
            else { return nil }
            return lines[start...end].joined(separator: "\n")
        }
    }

    typealias Running = Execution<NoInput, SequenceOutput, CombinedErrorOutput>

    let processID: Int32
    private let execution: Running
    private var output: SubprocessOutputSequence.StringSequence<UTF8>.AsyncIterator
    private var lines: [String] = []
    private var signalled: ContinuousClock.Instant?

    private init(_ execution: Running) {
        self.execution = execution
        processID = execution.processIdentifier.value
        output = execution.standardOutput.strings().makeAsyncIterator()
    }

    /// Starts one, and returns when it has ended.
    ///
    /// The body may leave it running only when it ends by itself.
    static func run(
        _ arguments: [String],
        ignoring variables: [String] = [],
        _ body: (TourChild) async throws -> Void = { _ in }
    ) async throws -> End {
        let started = try await Subprocess.run(
            .path(FilePath(Thread.programPath)),
            arguments: Arguments(arguments),
            environment: environment(without: variables),
            input: .none,
            output: .sequence,
            error: .combinedWithOutput
        ) { execution in
            let child = TourChild(execution)
            do { try await body(child) } catch {
                // Nothing may wait for a child that nobody talks to any more.
                try? execution.send(signal: .kill)
                throw error
            }
            while try await child.nextLine() != nil {}
            let seconds = child.signalled.map { ($0.duration(to: .now)).seconds }
            return (child.lines, seconds)
        }
        // Killed because the time was up, or the tour was interrupted: nothing of it is a finding.
        try Task.checkCancellation()
        let (lines, seconds) = started.closureResult
        guard case .exited(let code) = started.terminationStatus else {
            return End(exitCode: nil, seconds: seconds, lines: lines)
        }
        return End(exitCode: code, seconds: seconds, lines: lines)
    }

    /// The one that the tour itself has, less what would make two tours differ.
    private static func environment(without variables: [String]) -> Environment {
        let kept = Set(["NORIA_BACKEND", "NORIA_DEBUG"]).subtracting(variables)
        let dropped = Thread.environment(prefixed: "NORIA_").keys.filter { !kept.contains($0) }
        return .inherit.updating(
            Dictionary(
                uniqueKeysWithValues: dropped.compactMap { name in
                    Environment.Key(rawValue: name).map { ($0, nil) }
                }
            )
        )
    }

    /// The next line that it says, as soon as it has; nil when it has ended.
    func nextLine() async throws -> String? {
        guard let line = try await output.next() else { return nil }
        // A child that says more than this is told apart from one that never ends by the step's time.
        if lines.count < 10_000 { lines.append(line) }
        return line
    }

    /// Whether a line so far holds `text`.
    func hasSaid(_ text: String) -> Bool { lines.contains { $0.contains(text) } }

    /// Waits for a line that holds `text`.
    func line(with text: String) async throws -> String {
        while let line = try await nextLine() {
            if line.contains(text) { return line }
        }
        throw Failure(
            "noria \(processID) ended and never said '\(text)', but: "
                + (lines.last.map { "'\($0)'" } ?? "nothing")
        )
    }

    /// Waits until it listens: on which port, on which backend.
    func listens() async throws -> (port: Int, backend: String) {
        let line = try await line(with: "listening on ")
        let words = line.split(separator: " ")
        guard words.count >= 4, let colon = words[2].lastIndex(of: ":"),
            let port = Int(words[2][words[2].index(after: colon)...]),
            words[3].hasPrefix("backend=")
        else { throw Failure("not the line of a server that listens: '\(line)'") }
        return (port, String(words[3].dropFirst("backend=".count)))
    }

    /// Sends SIGTERM; its end is timed from the first on.
    func terminate() {
        signalled = signalled ?? .now
        // It may have ended: then its end says so.
        try? execution.send(signal: .terminate)
    }

    /// The processor time that its threads have used.
    func processorSeconds() throws -> Double {
        let folder = "/proc/\(processID)/task"
        var nanoseconds: UInt64 = 0
        for thread in try Files.entries(of: FilePath(folder)) {
            // One that has ended in between.
            guard let text = try? SystemFile.text(of: "\(folder)/\(thread)/schedstat"),
                let word = text.split(separator: " ").first, let used = UInt64(word)
            else { continue }
            nanoseconds += used
        }
        return Double(nanoseconds) / 1e9
    }
}
