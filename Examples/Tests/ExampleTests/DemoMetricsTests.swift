// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@Suite("noria-demo's numbers are Prometheus's", .serialized)
struct DemoMetricsTests {
    @Test("counters move between two scrapes, and never back", arguments: Backends.all)
    func counters(backend: String) throws {
        let demo = try Demo(backend, loops: 2)
        let before = try demo.metrics()
        for _ in 0..<4 { _ = try demo.get("/plaintext") }
        _ = try demo.get("/offload?n=1000")
        let completed = "noria_blocking_completed_total{pool=\"compute\"}"
        #expect(before[completed] == 0)
        // A job is counted when its thread is done with it, which may be after the answer.
        try Waiting.until("the job to be counted") { (try? demo.metrics()[completed]) == 1 }
        let after = try demo.metrics()
        #expect(Set(before.keys) == Set(after.keys))
        let counters = before.filter { $0.key.prefix { $0 != "{" }.hasSuffix("_total") }
        #expect(counters.count >= 30, "\(counters.count)")
        for (name, value) in counters { #expect(after[name, default: -1] >= value, "\(name)") }
        /// Of both loops together.
        func growth(_ name: String) -> Double {
            before.keys.filter { $0.hasPrefix("\(name){loop=") }
                .reduce(0) { $0 + (after[$1] ?? 0) - (before[$1] ?? 0) }
        }
        #expect(growth("noria_connections_accepted_total") >= 5)
        #expect(growth("noria_eventloop_turns_total") > 0)
        #expect(growth("noria_io_bytes_total") > 0)
        #expect(growth("noria_eventloop_turn_seconds_count") > 0)
        #expect(after["noria_info{backend=\"\(backend)\"}"] == 1)
        #expect(after["noria_ready"] == 1)
        try demo.end()
    }

    @Test("each sample stands below its HELP and TYPE, and counters and times are called so")
    func format() throws {
        let demo = try Demo(Backends.all[0], loops: 2)
        let text = try demo.get("/metrics").body
        #expect(text.hasSuffix("\n"))
        var (name, kind) = ("", "")
        var names: Set<String> = []
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ", maxSplits: 3).map(String.init)
            if line.hasPrefix("# HELP ") {
                #expect(words.count == 4 && names.insert(words[2]).inserted, "\(line)")
                name = words[2]
            } else if line.hasPrefix("# TYPE ") {
                #expect(words[2] == name, "\(line)")
                kind = words[3]
                #expect((kind == "counter") == name.hasSuffix("_total"), "\(line)")
            } else {
                let sample = line.prefix { $0 != "{" && $0 != " " }
                let suffixes = kind == "summary" ? ["", "_sum", "_count"] : [""]
                #expect(suffixes.contains { sample == name + $0 }, "\(line)")
            }
        }
        #expect(names.count >= 35, "\(names.count)")
        for name in ["noria_eventloop_delay", "noria_eventloop_turn", "noria_blocking_duration"] {
            #expect(names.contains("\(name)_seconds"))
        }
        try demo.end()
    }

    @Test("the parser of Prometheus's own client reads it", arguments: Backends.all)
    func parser(backend: String) throws {
        let demo = try Demo(backend)
        let folder = try TemporaryFolder()
        let path = "\(folder.path)/metrics"
        let body = Array(try demo.get("/metrics").body.utf8)
        let file = try #require(fopen(path, "w"))
        #expect(fwrite(body, 1, body.count, file) == body.count)
        fclose(file)
        try demo.end()
        let process = try ChildProcess("/usr/bin/env", ["python3", "-c", Self.script, path])
        let exit = try process.waitForExit(seconds: 60)
        guard exit != .code(77), exit != .code(127) else {
            return print("skipped: no prometheus_client here; 'pip install prometheus-client'")
        }
        let (output, errors) = (try process.output.all(), try process.errors.all())
        #expect(exit == .code(0), "\(errors)")
        #expect(output == "summary 4 0 \(backend)\n", "\(output) \(errors)")
    }

    /// Says what it made of one of each kind, and of their labels.
    private static let script = """
        import sys
        try:
            from prometheus_client.parser import text_string_to_metric_families
        except ImportError:
            sys.exit(77)
        families = {f.name: f for f in text_string_to_metric_families(open(sys.argv[1]).read())}
        kinds = {f.type for f in families.values()}
        assert kinds == {'counter', 'gauge', 'summary'}, kinds
        turns = families['noria_eventloop_turns']
        assert turns.type == 'counter' and turns.samples[0].value > 0, turns
        labels = turns.samples[0].labels
        summaries = [f for f in families.values() if f.type == 'summary']
        print(summaries[0].type, len(summaries), labels['loop'], labels['backend'])
        """
}
