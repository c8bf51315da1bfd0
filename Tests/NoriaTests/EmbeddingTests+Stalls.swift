// SPDX-License-Identifier: Apache-2.0
import NoriaSystem
import TestSupport
import Testing

@testable import Noria

/// What the watchdog sees of loops that are really blocked.
extension EmbeddingTests {
    private static func watched(
        _ setting: Setting,
        _ reports: Locked<[StallReport]>,
        _ change: (inout RuntimeConfiguration) -> Void = { _ in }
    ) -> RuntimeConfiguration {
        setting.configuration.with {
            $0.diagnostics.stallThreshold = .milliseconds(40)
            $0.diagnostics.stallReportThreshold = .milliseconds(100)
            $0.diagnostics.onStall = { report in reports.withLock { $0.append(report) } }
            change(&$0)
        }
    }

    @Test("a loop that blocks is told while it does, with its stack", arguments: settings)
    func blockedLoop(setting: Setting) async throws {
        let reports = Locked<[StallReport]>([])
        try await withRuntime(Self.watched(setting, reports)) { runtime in
            let loop = runtime.eventLoops[runtime.eventLoops.count - 1]
            let task = runtime.spawn(name: "blocks", on: loop) { blockLoop(reports, count: 1) }
            await task.finished()
            let told = reports.withLock { $0 }
            #expect(told.count == 1)
            let report = try #require(told.first)
            #expect(report.eventLoop == loop.index)
            #expect(report.duration >= .milliseconds(100))
            if StackCapture.isPossible {
                #expect(
                    report.stack.contains {
                        $0.hasPrefix("blockLoop(_:count:) at EmbeddingTests+Stalls.swift:")
                    },
                    "\(report)"
                )
            } else {
                #expect(report.notes.contains("no stack: not under the thread sanitizer"))
            }
            // It is counted once it is over, at the watchdog's next look.
            try await until("counted") { loop.snapshot().stalls == 1 }
            let snapshot = loop.snapshot()
            #expect(snapshot.turnLength.max >= 0.1)
            #expect(snapshot.stallReportsSuppressed == 0)
        }
    }

    @Test("without stacks the report names the kernel's call", arguments: settings)
    func blockedWithoutStacks(setting: Setting) async throws {
        let reports = Locked<[StallReport]>([])
        let configuration = Self.watched(setting, reports) { $0.diagnostics.stallStacks = .off }
        try await withRuntime(configuration) { runtime in
            await runtime.spawn(name: "blocks") { blockLoop(reports, count: 1) }.finished()
            let report = try #require(reports.withLock { $0 }.first)
            #expect(report.stack == [])
            #expect(
                report.notes.count == 1 && report.notes[0].hasPrefix("its thread "),
                "\(report)"
            )
        }
    }

    @Test("more stalls than may be told are counted", arguments: settings)
    func suppressedStalls(setting: Setting) async throws {
        let reports = Locked<[StallReport]>([])
        let configuration = Self.watched(setting, reports) {
            $0.diagnostics.stallReportsPerMinute = 0
        }
        try await withRuntime(configuration) { runtime in
            let loop = runtime.eventLoops.main
            await runtime.spawn(name: "blocks", on: loop) {
                let end = MonotonicClock.now + 20_000_000_000
                while loop.snapshot().stallReportsSuppressed == 0, MonotonicClock.now < end {
                    Thread.sleep(nanoseconds: 1_000_000)
                }
            }.finished()
            #expect(loop.snapshot().stallReportsSuppressed == 1)
            #expect(reports.withLock { $0.isEmpty })
        }
    }

    @Test("a loop of another framework's is told by its heartbeat", arguments: settings)
    func blockedGuest(setting: Setting) async throws {
        let reports = Locked<[StallReport]>([])
        try await withRuntime(Self.watched(setting, reports)) { runtime in
            let heartbeat = runtime.watchLoops(ofGroup: "guests", count: 1)[0]
            #expect(heartbeat.period == .milliseconds(100))
            let thread = try Thread.startJoinable {
                func beats(_ hadStacksBlocked: Bool) -> Bool {
                    Thread.sleep(nanoseconds: heartbeat.period.nanoseconds)
                    return heartbeat.beat(hadStacksBlocked: hadStacksBlocked)
                }
                let hadStacksBlocked = heartbeat.begin()
                for _ in 0..<5 { _ = beats(hadStacksBlocked) }
                blockLoop(reports, count: 1)
                while beats(hadStacksBlocked) {}
                heartbeat.end()
            }
            try await until("told") { reports.withLock { $0.count } == 1 }
            let report = try #require(reports.withLock { $0 }.first)
            #expect(report.group == "guests" && report.eventLoop == 0)
            #expect(report.duration >= .milliseconds(100))
            #expect(report.description.hasPrefix("loop 0 of 'guests' is blocked, for "))
            if StackCapture.isPossible {
                #expect(report.stack.contains { $0.hasPrefix("blockLoop(_:count:)") }, "\(report)")
            }
            try await until("counted") { runtime.snapshot().watchedLoops.first?.stalls == 1 }
            let snapshot = try #require(runtime.snapshot().watchedLoops.first)
            #expect(snapshot.group == "guests" && snapshot.lateness.count >= 6)
            #expect(snapshot.lateness.max >= 0.1)
            heartbeat.stop()
            try await until("let go") { runtime.snapshot().watchedLoops.isEmpty }
            thread.join()
        }
    }

    @Test("turns are measured, and waiting is no part of them", arguments: settings)
    func turnLengths(setting: Setting) async throws {
        try await withRuntime(setting.configuration) { runtime in
            let loop = runtime.eventLoops.main
            try await runtime.clock.sleep(for: .milliseconds(60))
            for _ in 0..<100 { await runtime.spawn(name: "turn", on: loop) {}.finished() }
            let snapshot = loop.snapshot()
            #expect(snapshot.turnLength.count > 0)
            #expect(snapshot.turnLength.count + 1 >= snapshot.turns)
            #expect(snapshot.utilization < 0.9)
            let active = snapshot.turnLength.mean * Double(snapshot.turnLength.count)
            #expect(active > 0 && snapshot.utilization > 0)
        }
    }
}

/// Blocks the loop that runs it until so many stalls were told, 20 s at most.
@inline(never)
private func blockLoop(_ reports: Locked<[StallReport]>, count: Int) {
    let end = MonotonicClock.now + 20_000_000_000
    while reports.withLock({ $0.count }) < count, MonotonicClock.now < end {
        Thread.sleep(nanoseconds: 1_000_000)
    }
}
