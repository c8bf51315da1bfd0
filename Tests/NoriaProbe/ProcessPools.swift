// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// What a pool of real worker processes does, one fact a line.
enum ProcessPools {
    static func configuration(
        _ change: (inout ProcessPool.Configuration) -> Void = { $0.workerCount = 2 }
    ) -> RuntimeConfiguration {
        NoriaProbe.configuration.with { change(&$0.processes) }
    }

    static func plain() {
        print("before the runtime")
        fflush(nil)
        Runtime.main(configuration()) { runtime in
            print("snapshot before: \(runtime.snapshot().processes == nil)")
            let pool = runtime.processes
            let answer = try await pool.run(EchoCall(text: "hello"))
            print("text: \(answer[0]), another process: \(answer[1] != "\(getpid())")")
            print("box: \(try await pool.run(BoxCall(value: [1.5, .infinity])))")
            print("nested: \(try await pool.run(BoxCall(value: BoxCall(value: 7))).value)")
            print("hidden: \(await hidden(pool))")
            for fate in [FateCall.Fate.trap, .kill, .throwing, .talk] {
                print("\(fate): \(await PoolCalls.outcome(FateCall(fate: fate), pool))")
                _ = try await pool.run(EchoCall(text: "between"))
            }
            print("exit: \(await PoolCalls.outcome(FateCall(fate: .exit, number: 3), pool))")
            let snapshot = pool.snapshot()
            print("calls: \(snapshot.calls), failures: \(snapshot.failures)")
            print("deaths: \(snapshot.deaths), replacements: \(snapshot.replacements)")
        }
    }

    private static func hidden(_ pool: ProcessPool) async -> String {
        do {
            try await PoolCalls.hidden(pool)
            return "ran"
        } catch { return "\(error)" }
    }
}
