// SPDX-License-Identifier: Apache-2.0
import TestSupport
import Testing

@Suite("a program's metrics system gets the runtime's numbers")
struct MetricsTests {
    @Test(
        "real connections are counted, whenever the system was set up",
        arguments: Backends.all,
        [[], ["late"]]
    )
    func connections(backend: String, arguments: [String]) throws {
        let (lines, errors) = try Probe.finished("metrics", backend, arguments: arguments)
        func value(_ name: String, _ more: String = "") -> Double? {
            let key = "noria.\(name){loop=0,backend=\(backend)\(more)}: "
            return lines.first { $0.hasPrefix(key) }.flatMap { Double($0.dropFirst(key.count)) }
        }
        #expect(value("connections.accepted") == 5, "\(lines) \(errors)")
        #expect(value("connections.reset") == 1)
        #expect(value("connections.timed_out") ?? 0 >= 1)
        #expect(value("connections.open") == 0)
        // Both ends live here: each byte is sent twice and received twice.
        #expect(value("io.bytes", ",direction=in") == 6002)
        #expect(value("io.bytes", ",direction=out") == 6002)
        #expect(value("eventloop.turns") ?? 0 > 10)
        #expect(value("eventloop.time", ",state=idle") ?? 0 > 0)
        #expect(value("eventloop.time", ",state=active") ?? 0 > 0)
        #expect((0...1).contains(value("eventloop.utilization") ?? -1))
        #expect(lines.contains("noria.blocking.completed{pool=blocking}: 1.0"))
        #expect(lines.contains("noria.blocking.completed{pool=twin}: 4.0"))
        #expect(lines.contains { $0.hasPrefix("noria.tasks.live{}: ") })
    }

    @Test(
        "a run that is over at once publishes its numbers, too, of each loop",
        arguments: Backends.all
    )
    func short(backend: String) throws {
        let (lines, _) = try Probe.finished(
            "short metrics",
            backend,
            environment: ["NORIA_LOOPS": "2"]
        )
        for loop in 0..<2 {
            let key = "noria.eventloop.turns{loop=\(loop),backend=\(backend)}: "
            #expect(lines.contains { $0.hasPrefix(key) }, "\(lines)")
        }
    }
}
