// SPDX-License-Identifier: Apache-2.0
import Dispatch
import Glibc
import Noria

/// Where each kind of concurrent code runs under a takeover.
enum Executors {
    private actor Plain {
        func place() -> String { NoriaProbe.place() }
    }

    private actor Pinned {
        private let loop: EventLoop
        nonisolated var unownedExecutor: UnownedSerialExecutor { loop.unownedExecutor }
        init(on loop: EventLoop) { self.loop = loop }
        func place() -> String { NoriaProbe.place() }
    }

    @MainActor private static func onMain() -> String { NoriaProbe.place() }
    @concurrent private static func concurrently() async -> String { NoriaProbe.place() }

    static func run() {
        let outcome = try? Runtime.run(NoriaProbe.configuration) { runtime in
            print("body: \(NoriaProbe.place())")
            print("task: \(await Task { NoriaProbe.place() }.value)")
            print("detached: \(await Task.detached { NoriaProbe.place() }.value)")
            print("plain actor: \(await Plain().place())")
            print("pinned actor: \(await Pinned(on: runtime.eventLoops.main).place())")
            print("main actor: \(await onMain())")
            print("concurrent: \(await concurrently())")
            let group = await withTaskGroup(of: String.self) { group in
                for _ in 0..<3 { group.addTask { NoriaProbe.place() } }
                return await group.reduce(into: Set<String>()) { $0.insert($1) }
            }
            print("group: \(group.sorted().joined(separator: ","))")
            let before = ContinuousClock.now
            try await Task.sleep(for: .milliseconds(20))
            print(
                "sleep: \(NoriaProbe.place()) early=\(ContinuousClock.now - before < .milliseconds(20))"
            )
            await MainActor.run { MainActor.assertIsolated() }
            print("threads: \(NoriaProbe.threadCount)")
            let fromDispatch = await withUnsafeContinuation { continuation in
                DispatchQueue.main.async { continuation.resume(returning: NoriaProbe.place()) }
            }
            print("dispatch main: \(fromDispatch)")
        }
        print("ended: \(outcome?.report.exitCode.rawValue ?? -1)")
    }
}
