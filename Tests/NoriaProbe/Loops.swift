// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// Several loops.
enum Loops {
    /// Says on which loop a connection lives, having looked where its handler runs.
    static func spread() {
        Runtime.main(NoriaProbe.configuration.with { $0.loops.count = 2 }) { _ in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            print("listening on \(listener.localAddress)")
            fflush(nil)
            try await listener.serve { connection in
                let isHome = EventLoop.current === connection.eventLoop
                await Task.yield()
                let isStillHome = EventLoop.current === connection.eventLoop
                let place = isHome && isStillHome ? connection.eventLoop.description : "elsewhere"
                try await connection.outbound.write(place)
            }
        }
    }

    private actor Pinned {
        private let loop: EventLoop
        private(set) var count = 0
        private(set) var strays = 0
        nonisolated var unownedExecutor: UnownedSerialExecutor { loop.unownedExecutor }
        init(on loop: EventLoop) { self.loop = loop }

        func add() async {
            if !loop.isCurrent { strays += 1 }
            count += 1
            await Task.yield()
            if !loop.isCurrent { strays += 1 }
        }
    }

    /// Actors of three loops that are called from everywhere, and count exactly.
    static func pinned() {
        let outcome = try? Runtime.run(NoriaProbe.configuration.with { $0.loops.count = 3 }) {
            runtime in
            let actors = runtime.eventLoops.map { Pinned(on: $0) }
            await withDiscardingTaskGroup { group in
                for loop in runtime.eventLoops {
                    for _ in 0..<20 {
                        group.addTask(executorPreference: loop.taskExecutor) {
                            for round in 0..<100 {
                                await actors[round % actors.count].add()
                                if round % 10 == 0 { try? await Task.sleep(for: .microseconds(50)) }
                            }
                        }
                    }
                }
                for _ in 0..<20 {
                    group.addTask { for actor in actors { for _ in 0..<100 { await actor.add() } } }
                }
            }
            for actor in actors {
                print("count: \(await actor.count) strays: \(await actor.strays)")
            }
        }
        print("ended: \(outcome?.report.exitCode.rawValue ?? -1)")
    }
}

/// A task group that computes, and nothing else.
enum Computing {
    /// Counts until half a second of the thread's time is used.
    private static func compute() {
        let end = cpuNanoseconds + 500_000_000
        while cpuNanoseconds < end {}
    }

    private static var cpuNanoseconds: Int {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return time.tv_sec * 1_000_000_000 + time.tv_nsec
    }

    /// Four children; how long they took, and where they ran.
    private static func group() async -> String {
        let begin = ContinuousClock.now
        let places = await withTaskGroup(of: String.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    compute()
                    return NoriaProbe.place()
                }
            }
            return await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        let seconds = (ContinuousClock.now - begin) / .seconds(1)
        return "\(places.sorted().joined(separator: ", ")) in \(seconds) s"
    }

    static func onLoops() {
        _ = try? Runtime.run(NoriaProbe.configuration.with { $0.loops.count = 2 }) { _ in
            print(await group())
            print(await group())
        }
    }

    /// The same on the pool that Swift brings, with no runtime.
    static func onStockPool() {
        Task {
            print(await group())
            exit(0)
        }
        while true { sleep(60) }
    }
}

/// Tasks of one loop that do something on another, and come home.
enum Hops {
    static func run() {
        let outcome = try? Runtime.run(NoriaProbe.configuration.with { $0.loops.count = 2 }) { _ in
            for _ in 0..<20 {
                let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
                let afterBinding = NoriaProbe.place()
                let serving = Task { try await listener.serve { _ in } }
                await Task.yield()
                await listener.drain(until: .now + .seconds(1))
                try await serving.value
                await listener.close()
                guard afterBinding == "loop 0", NoriaProbe.place() == "loop 0" else {
                    return print("strayed: \(afterBinding), \(NoriaProbe.place())")
                }
            }
            print("home each time")
        }
        print("ended: \(outcome?.report.exitCode.rawValue ?? -1)")
    }
}
