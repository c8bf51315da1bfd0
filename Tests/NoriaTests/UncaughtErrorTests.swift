// SPDX-License-Identifier: Apache-2.0
import Logging
import NoriaSystem
import SystemPackage
import TestSupport
import Testing

@testable import Noria

@Suite("Reports: what is let through, what is held back, what is no error")
struct UncaughtErrorTests {
    @Test("A limit lets its number through in any span, and says what it held back before")
    func limit() {
        var limit = ReportLimit(count: 3, nanoseconds: 100)
        #expect((0..<5).map { limit.admit(1000 + $0 * 10) } == [0, 0, 0, nil, nil])
        #expect(limit.admit(1099) == nil)
        // The first that stands far enough from the first tells of the three.
        #expect(limit.admit(1100) == 3)
        // So would the next: not from the second.
        #expect(limit.admit(1109) == nil)
        #expect(limit.admit(1110) == 1)
        // A clock that was read earlier on another thread opens nothing.
        #expect(limit.admit(900) == nil)
        #expect(limit.admit(5000) == 1)
        var none = ReportLimit(count: 0, nanoseconds: 1)
        #expect(none.admit(1000) == nil)
    }

    @Test("The sum of what was let through and held back is exact, whoever asks")
    func sum() {
        var limit = ReportLimit(count: 20, nanoseconds: 1000)
        var (admitted, told) = (0, 0)
        for step in 0..<100_000 {
            guard let heldBack = limit.admit(UInt64(step * 7)) else { continue }
            admitted += 1
            told += heldBack
        }
        // All but what it still holds back.
        #expect(admitted + told <= 100_000)
        #expect(admitted + told > 100_000 - 200)
        // Twenty in every 143 steps.
        #expect(admitted == 700 * 20)
    }

    @Test("A cancellation is told from an error, also where it is wrapped")
    func cancellations() {
        #expect(CancellationError().isCancellation)
        #expect(NetworkError(errno: .canceled, "read").isCancellation)
        #expect(!NetworkError(errno: .connectionReset, "read").isCancellation)
        let wrapped = NetworkError(
            .other,
            "connect to",
            causes: [NetworkError(errno: .canceled, "connect to")]
        )
        #expect(wrapped.isCancellation)
        let mixed = NetworkError(
            .other,
            "connect to",
            causes: [
                NetworkError(errno: .canceled, "connect to"),
                NetworkError(errno: .connectionRefused, "connect to"),
            ]
        )
        #expect(!mixed.isCancellation)
        #expect(!NetworkError(.closed, "read").isCancellation)
    }

    @Test("A list of tasks is summed up by name, whatever their number")
    func report() {
        func task(_ id: UInt64, _ name: String?, _ age: Double = 1, _ loop: Int? = 0)
            -> TaskSnapshot
        {
            TaskSnapshot(
                id: id,
                name: name,
                ageSeconds: age,
                eventLoop: loop,
                isCancelled: id == 7,
                origin: nil,
                stack: []
            )
        }
        let few = TaskReport([task(3, "b", 12.34), task(7, nil, 1, nil), task(9, "b")])
        #expect(
            few.lines == [
                "3 live, 1 of them cancelled", "2 × 'b'", "1 × without a name",
                "task 3 'b': 12.3 s, loop 0", "task 7: 1.0 s, no loop, cancelled",
                "task 9 'b': 1.0 s, loop 0",
            ]
        )
        let many = TaskReport((0..<10_000).map { task(UInt64($0), "name \($0)") })
        #expect(many.lines.count == 1 + 100 + 1 + 20)
        #expect(many.lines[101] == "9900 × 9900 more names")
    }
}

@Suite("The log's own thread")
struct LogQueueTests {
    /// Writes nothing until it is opened.
    private struct Blocked: LogHandler {
        let gate: Gate
        let lines: Locked<[String]>
        var metadata: Logger.Metadata = [:]
        var metadataProvider: Logger.MetadataProvider?
        var logLevel = Logger.Level.info

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            try? gate.wait(for: "the reader")
            lines.withLock { $0.append("\(event.message) \(event.metadata ?? [:])") }
        }
    }

    @TaskLocal private static var request = "none"

    @Test("Whoever logs never waits; what finds the queue full is counted, and said")
    func full() throws {
        let (gate, lines) = (Gate(), Locked<[String]>([]))
        let reports = ReportThread()
        let queue = LogQueue(reports)
        let logger = queue.logger(
            Logger(label: "test") { _ in Blocked(gate: gate, lines: lines) }
        )
        queue.begin()
        for number in 0..<5000 { logger.info("\(number)") }
        #expect(lines.withLock(\.count) == 0)
        // It stands still: nobody waits for it for ever.
        #expect(!queue.flush(nanoseconds: 1_000_000))
        gate.pass()
        // There is room for a line once the first has been written.
        try Waiting.until("room in the queue") { lines.withLock(\.count) >= 1024 }
        logger.info("5000")
        #expect(queue.flush(nanoseconds: 10_000_000_000))
        _ = reports.end(nanoseconds: 10_000_000_000)
        queue.end()
        let written = lines.withLock { $0 }
        let lost = written.compactMap { line in
            line.contains("log lines were lost") ? Int(line.prefix { $0.isNumber }) : nil
        }
        let numbers = written.compactMap { line in
            line.contains("lost") ? nil : Int(line.prefix { $0.isNumber })
        }
        #expect(numbers == numbers.sorted())
        #expect(numbers.last == 5000)
        #expect(numbers.count + lost.reduce(0, +) == 5001)
        #expect(numbers.count >= 1024)
        #expect(!lost.isEmpty)
    }

    @Test("In order, with what the caller's task says of itself, also before and after the thread")
    func order() throws {
        let (gate, lines) = (Gate(count: 0), Locked<[String]>([]))
        let reports = ReportThread()
        let queue = LogQueue(reports)
        var logger = queue.logger(
            Logger(label: "test") { _ in
                var handler = Blocked(gate: gate, lines: lines)
                handler.metadataProvider = .init { ["request": "\(Self.request)"] }
                return handler
            }
        )
        logger[metadataKey: "own"] = "1"
        #expect(logger[metadataKey: "own"] == "1")
        logger.info("before")
        #expect(lines.withLock(\.count) == 1)
        queue.begin()
        Self.$request.withValue("r1") { logger.info("first") }
        logger.debug("not at this level")
        logger.info("second", metadata: ["request": "mine"])
        _ = reports.end(nanoseconds: 10_000_000_000)
        queue.end()
        logger.info("after")
        #expect(
            lines.withLock { $0 } == [
                "before [\"request\": none]", "first [\"request\": r1]",
                "second [\"request\": mine]", "after [\"request\": none]",
            ]
        )
    }
}
