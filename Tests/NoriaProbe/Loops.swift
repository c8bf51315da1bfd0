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
