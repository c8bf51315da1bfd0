// SPDX-License-Identifier: Apache-2.0
import Noria

/// Hops between default and pinned actors and sleeps, counted exactly.
enum Stress {
    private actor Counter {
        private(set) var count = 0
        func add() { count += 1 }
    }

    private actor PinnedCounter {
        private let loop: EventLoop
        nonisolated var unownedExecutor: UnownedSerialExecutor { loop.unownedExecutor }
        private(set) var count = 0
        init(on loop: EventLoop) { self.loop = loop }
        func add() { count += 1 }
    }

    @MainActor private static var mainCount = 0
    @MainActor private static func addOnMain() { mainCount += 1 }

    static func run() {
        _ = try? Runtime.run(NoriaProbe.configuration) { runtime in
            let plain = Counter()
            let pinned = PinnedCounter(on: runtime.eventLoops.main)
            let slept = Counter()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 0..<100 {
                    group.addTask {
                        for round in 0..<200 {
                            await plain.add()
                            await pinned.add()
                            await addOnMain()
                            if round % 50 == index % 50 {
                                try await Task.sleep(for: .microseconds(100))
                                await slept.add()
                            }
                        }
                    }
                }
                try await group.waitForAll()
            }
            print("plain: \(await plain.count)")
            print("pinned: \(await pinned.count)")
            print("main: \(await MainActor.run { mainCount })")
            print("slept: \(await slept.count)")
        }
    }
}
