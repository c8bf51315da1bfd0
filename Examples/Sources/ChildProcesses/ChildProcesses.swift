// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria
import Subprocess

/// A shell script as a child process, by swift-subprocess: `ChildProcesses SCRIPT`.
///
/// Each line is passed on as it comes. A timer of 1 ms shows that no loop waits for the child
/// meanwhile, and a shutdown ends the child: SIGTERM, and SIGKILL if that was not enough.
@main
struct ChildProcesses {
    static func main() {
        guard CommandLine.arguments.count == 2 else { return print("usage: ChildProcesses SCRIPT") }
        let script = CommandLine.arguments[1]
        Runtime.main { _ in
            let timer = Task { await lateness() }
            var options = PlatformOptions()
            options.teardownSequence = [.gracefulShutDown(allowedDurationToNextStep: .seconds(2))]
            let child = try await run(
                .path("/bin/sh"),
                arguments: ["-c", script],
                platformOptions: options,
                input: .none,
                output: .sequence,
                error: .string(limit: 4096)
            ) { execution in
                var count = 0
                for try await line in execution.standardOutput.strings() {
                    count += 1
                    print("line \(count) on loop \(EventLoop.current?.index ?? -1): \(line)")
                    fflush(nil)
                }
                return count
            }
            timer.cancel()
            print("\(child.terminationStatus) after \(child.closureResult) lines")
            if !child.standardError.isEmpty { print("it complained: \(child.standardError)") }
            print("a timer of 1 ms came \(await timer.value) late at most")
        }
    }

    static func lateness() async -> Duration {
        var latest = Duration.zero
        while !Task.isCancelled {
            let due = ContinuousClock.now + .milliseconds(1)
            try? await Task.sleep(until: due, clock: .continuous)
            latest = max(latest, due.duration(to: .now))
        }
        return latest
    }
}
