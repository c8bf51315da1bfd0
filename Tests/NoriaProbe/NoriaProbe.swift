// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// Programs that take their process over, for tests: a test bundle's own main runs already.
///
/// Each prints what it saw, one fact a line, for the test to judge.
@main
enum NoriaProbe {
    static func main() {
        switch CommandLine.arguments.dropFirst().first {
        case "executors": Executors.run()
        case "twice": Runs.twice()
        case "nested": Runs.nested()
        case "residual": Runs.residual()
        case "fairness": Fairness.run()
        case "stress": Stress.run()
        case "enqueues": Enqueues.run()
        case "network": Network.run()
        case "elsewhere": Elsewhere.run()
        case "other loop": Elsewhere.onOtherLoop()
        case "spread": Loops.spread()
        case "hops": Hops.run()
        case "group": Computing.onLoops()
        case "stock group": Computing.onStockPool()
        case "pinned": Loops.pinned()
        case "misuses": Misuses.run()
        case "on actor": OnActor.run()
        case "timeouts": Timeouts.run()
        case "handlers": Handlers.run()
        case "restored": Restored.run()
        case "limits": Limits.run()
        case "idle clients": IdleClients.run()
        case "descriptors": Descriptors.run()
        case "throws": Runs.throwing()
        case "stubborn": Runs.stubborn()
        case "many runs": Restored.manyRuns()
        case "embedded": Embedded.aroundRuns()
        case "spawn": Spawning.run()
        case "spawn at shutdown": Spawning.atShutdown()
        case "signals": SignalProbe.two()
        case "signal given back": SignalProbe.givenBack()
        case "shutdown signal": SignalProbe.shutdownSignal()
        case "signals at the edges": SignalProbe.edges()
        case "clock": ClockProbe.run()
        case "snapshot": SnapshotProbe.run()
        case "unix": UnixSockets.run()
        case "unix loops": UnixSockets.loops()
        case "pool round trips": PoolRates.roundTrips()
        case "pool contention": PoolRates.contention()
        case "timer rate": Rates.timers()
        case "debugging": Debugging.run()
        case "blocker": Debugging.blocker()
        case "end actions": EndActions.run()
        case "stuck end action": EndActions.stuck()
        case "log lock held": EndActions.withLockHeld()
        case "services": Services.run()
        case "first process": FirstProcess.run()
        case "supervised": Supervised.run()
        case "crowd": ShutdownBars.crowd()
        case "left behind": ShutdownBars.leftBehind()
        case "reading form": ShutdownBars.form()
        case "crash": Crashes.run()
        case "metrics": MetricsProbe.run()
        case "short metrics": MetricsProbe.short()
        case "debug tasks": Debugging.manyTasks()
        case "wrong thread": Debugging.onWrongThread()
        case "post rate": Rates.posts()
        case "timeout rate": Rates.timeouts()
        case "child rate": Rates.children()
        case "cancellation rate": Rates.cancellations()
        case "pools": Pools.run()
        case "pool and blocked loop": Pools.blockedLoop()
        case "pool refused": Pools.refused()
        case "pool standstill": Pools.standstill()
        case "pool stuck": Pools.stuck()
        case "process pool": ProcessPools.plain()
        case "process ends": ProcessPools.ends()
        case "process cancelling": ProcessPools.cancelling()
        case "process resting": ProcessPools.resting()
        case "process memory": ProcessPools.exhausted()
        case "process strangers": ProcessPools.strangers()
        case "process words": ProcessPools.words()
        case "process strays": ProcessPools.strays()
        case "process orphans": ProcessPools.orphans()
        case "process drained": ProcessPools.drained()
        case "plain errors": PlainTasks.failing()
        case "plain errors awaited": PlainTasks.awaited()
        case "plain errors at shutdown": PlainTasks.atShutdown()
        case "error kinds": Handling.kinds()
        case "failing handler": Handling.failing()
        case "shut down by an error": Handling.shutDown()
        case "many tasks": Handling.many()
        case "listed tasks": Handling.listed()
        case "replica": Replica.run()
        case "relay to tcp": Relays.toTCP()
        case "relay to unix": Relays.toUnix()
        default:
            print("usage: noria-probe NAME")
            exit(64)
        }
    }

    static let configuration = RuntimeConfiguration.production.with {
        $0.shutdown.deadline = .seconds(5)
    }

    /// The threads of this process.
    static var threadCount: Int { entryCount("/proc/self/task") }
    static var descriptorCount: Int { entryCount("/proc/self/fd") }

    private static func entryCount(_ path: String) -> Int {
        guard let folder = opendir(path) else { return -1 }
        defer { closedir(folder) }
        var count = 0
        while readdir(folder) != nil { count += 1 }
        return count - 2
    }

    static func place() -> String { EventLoop.current.map { "\($0)" } ?? "elsewhere" }
}
