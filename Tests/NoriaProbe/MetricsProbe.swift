// SPDX-License-Identifier: Apache-2.0
import CoreMetrics
import Glibc
import Noria
import NoriaSystem

/// What a metrics system of the program's gets.
enum MetricsProbe {
    /// Five connections: three that echo, one that is reset, one that says nothing for too long.
    static func run() {
        let isLate = CommandLine.arguments.contains("late")
        if !isLate { MetricsSystem.bootstrap(Recorder.shared) }
        do {
            _ = try Runtime.run(
                NoriaProbe.configuration.with {
                    $0.diagnostics.metricsInterval = .milliseconds(100)
                    $0.network.limits.idleTimeout = .milliseconds(200)
                }
            ) { runtime in
                if isLate { MetricsSystem.bootstrap(Recorder.shared) }
                let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
                async let served: Void = {
                    try await listener.serve { connection in
                        try await connection.outbound.write(contentsOf: connection.inbound)
                    }
                }()
                let port = Int("\(listener.localAddress)".split(separator: ":").last ?? "") ?? 0
                try await useConnections(port)
                _ = try await runtime.blocking.run { 1 }
                // To a metrics system two pools of one name are one.
                for count in [3, 1] {
                    let pool = runtime.makeThreadPool(name: "twin")
                    for _ in 0..<count { _ = try await pool.run { 1 } }
                }
                while runtime.eventLoops.main.snapshot().streams.timedOut < 1 {
                    try await Task.sleep(for: .milliseconds(10))
                }
                await listener.drain(until: .now + .seconds(5))
                try await served
            }
        } catch { print("failed: \(error)") }
        for line in Recorder.shared.lines { print(line) }
    }

    /// A run that is over before anybody has looked.
    static func short() {
        MetricsSystem.bootstrap(Recorder.shared)
        do { _ = try Runtime.run(NoriaProbe.configuration) { _ in } } catch { print("\(error)") }
        for line in Recorder.shared.lines { print(line) }
    }

    private static func useConnections(_ port: Int) async throws {
        for _ in 0..<3 {
            try await withTCPConnection(host: "127.0.0.1", port: port) { connection in
                try await connection.outbound.write([UInt8](repeating: 1, count: 1000))
                _ = try await connection.inbound.read(exactly: 1000)
            }
        }
        try await withTCPConnection(host: "127.0.0.1", port: port) { connection in
            try await connection.outbound.write([1])
            _ = try await connection.inbound.read(exactly: 1)
            connection.abort()
        }
        // It ends by the server's time-out, in a reset or in order.
        try? await withTCPConnection(host: "127.0.0.1", port: port, limits: StreamLimits()) {
            connection in
            while try await connection.inbound.next() != nil {}
        }
    }
}

/// Adds up counters and keeps the last value of each gauge.
private final class Recorder: MetricsFactory, Sendable {
    static let shared = Recorder()
    private let values = Guarded<[String: Double]>([:])

    /// `NAME{dimension=value}: number`, in order.
    var lines: [String] {
        values.withLock { values in values.map { "\($0.key): \($0.value)" }.sorted() }
    }

    fileprivate func change(_ key: String, _ body: (Double) -> Double) {
        values.withLock { $0[key] = body($0[key] ?? 0) }
    }

    private func handle(_ label: String, _ dimensions: [(String, String)]) -> Handle {
        let place = dimensions.map { "\($0.0)=\($0.1)" }.joined(separator: ",")
        return Handle(self, "\(label){\(place)}")
    }

    func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        handle(label, dimensions)
    }

    func makeFloatingPointCounter(
        label: String,
        dimensions: [(String, String)]
    ) -> any FloatingPointCounterHandler {
        handle(label, dimensions)
    }

    func makeRecorder(
        label: String,
        dimensions: [(String, String)],
        aggregate: Bool
    ) -> any RecorderHandler {
        handle(label, dimensions)
    }

    func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        handle(label, dimensions)
    }

    func destroyCounter(_ handler: any CounterHandler) {}
    func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
    func destroyRecorder(_ handler: any RecorderHandler) {}
    func destroyTimer(_ handler: any TimerHandler) {}
}

private final class Handle: CounterHandler, FloatingPointCounterHandler, RecorderHandler,
    TimerHandler
{
    private let recorder: Recorder
    private let key: String

    init(_ recorder: Recorder, _ key: String) {
        self.recorder = recorder
        self.key = key
    }

    func increment(by amount: Int64) { recorder.change(key) { $0 + Double(amount) } }
    func increment(by amount: Double) { recorder.change(key) { $0 + amount } }
    func reset() { recorder.change(key) { _ in 0 } }
    func record(_ value: Int64) { recorder.change(key) { _ in Double(value) } }
    func record(_ value: Double) { recorder.change(key) { _ in value } }
    func recordNanoseconds(_ duration: Int64) { recorder.change(key) { _ in Double(duration) } }
}
