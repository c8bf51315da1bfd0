// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// What one sees of a loop that is blocked: `BlockedLoop`, and look at its standard error.
///
/// A task computes a table on the loop for three seconds, where it should have used
/// `runtime.compute`. After one second the watchdog names the function, its file and its line, with
/// nothing switched on; a hook of our own takes the report, too. Once it is over, the loop's numbers
/// tell how long it was.
@main
struct BlockedLoop {
    static func main() {
        let configuration = RuntimeConfiguration.production.with {
            $0.diagnostics.onStall = { report in
                print("on stall: loop \(report.eventLoop), \(report.stack.count) calls deep")
            }
        }
        Runtime.main(configuration) { runtime in
            print("a loop computes for 3 s ...")
            print("table of \(computeTable(for: .seconds(3))) rows")
            // The stall is counted at the watchdog's next look.
            while runtime.snapshot().eventLoops[0].stalls == 0 {
                try await Task.sleep(for: .milliseconds(10))
            }
            let loop = runtime.snapshot().eventLoops[0]
            print("\(loop.stalls) stall, the longest turn took \(loop.turnLength.max) s")

            print("the same off the loop ...")
            _ = try await runtime.compute.run(name: "table") { computeTable(for: .seconds(2)) }
            print("\(runtime.snapshot().eventLoops[0].stalls) stall still")
        }
    }

    /// Work without an `await`: nobody else has a turn meanwhile.
    @inline(never)
    static func computeTable(for duration: Duration) -> Int {
        let end = ContinuousClock.now + duration
        var rows = 0
        while ContinuousClock.now < end { rows += 1 }
        return rows
    }
}
