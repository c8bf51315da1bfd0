// SPDX-License-Identifier: Apache-2.0

/// What runs the event loop of a process, told by what it has mapped, opened and named.
package enum ProcessKind: String, Codable, Sendable {
    case asyncio
    case uvloop
    /// Python, and no event loop that is known.
    case python
    case node
    case go
    case swiftNIO = "SwiftNIO"
    case noria
    /// A worker process of Noria's, whose calls compute on its loop.
    case noriaWorker = "worker of noria"
    case unknown

    /// What it is, and how that was told; what runs goes before what is only linked.
    static func find(
        _ program: ProcessLook.Program,
        executable: String,
        _ mapped: [String],
        _ descriptors: ProcessDescriptors,
        _ threads: ProcessThreads
    ) -> (kind: Self, evidence: String) {
        if let snapshot = descriptors.snapshot { return (.noria, "\(snapshot): its snapshot") }
        for (name, kind) in [("noria watchdog", noria), ("noria worker", noriaWorker)]
        where !threads.numbers(named: name).isEmpty {
            return (kind, "task/*/comm: a thread named '\(name)'")
        }
        if let loop = threads.numbers(named: "noria loop").first {
            return (.noria, "task/\(loop)/comm: a thread named 'noria loop'")
        }
        let loopCount = threads.numbers(named: "NIO-ELT-").count
        if loopCount > 0 {
            return (.swiftNIO, "task/*/comm: \(loopCount) threads named 'NIO-ELT-…'")
        }
        if program.isGo {
            return (.go, "exe: the note of Go's linker\(program.goVersion.map { ", \($0)" } ?? "")")
        }
        if let python = python(program, executable, mapped, descriptors) { return python }
        let name = executable.split(separator: "/").last ?? ""
        if let library = mapped.first(where: { $0.contains("/libnode.so") }) {
            return (.node, "maps: \(library)")
        }
        if name == "node" || name == "nodejs" { return (.node, "exe: \(executable)") }
        if program.isNode { return (.node, "exe: it exports node_module_register") }
        return (.unknown, unknown(program, executable, mapped, threads))
    }

    private static func python(
        _ program: ProcessLook.Program,
        _ executable: String,
        _ mapped: [String],
        _ descriptors: ProcessDescriptors
    ) -> (kind: Self, evidence: String)? {
        func file(_ part: String) -> String? { mapped.first { $0.contains(part) } }
        let name = executable.split(separator: "/").last ?? ""
        guard program.isPython || name.hasPrefix("python") || file("/libpython") != nil else {
            return nil
        }
        let loops = "fd: \(descriptors.loopText)"
        guard descriptors.hasEpoll else {
            return (.python, "maps, exe: Python; \(loops)")
        }
        if let uvloop = file("/uvloop/") {
            // libuv's wakeup is an eventfd; asyncio's own loop has a pair of sockets for that.
            if descriptors.kernelKinds["eventfd"] != nil {
                return (.uvloop, "maps: \(uvloop); \(loops) and libuv's eventfd")
            }
            return (.asyncio, "maps: \(uvloop), but there is no eventfd of libuv's; \(loops)")
        }
        if let gevent = file("/gevent/") { return (.python, "maps: \(gevent)") }
        if let asyncio = file("/_asyncio.") { return (.asyncio, "maps: \(asyncio); \(loops)") }
        return (
            .python,
            "maps, exe: Python; \(loops): an event loop, of asyncio's if '_asyncio' is built in here"
        )
    }

    private static func unknown(
        _ program: ProcessLook.Program,
        _ executable: String,
        _ mapped: [String],
        _ threads: ProcessThreads
    ) -> String {
        if program.hasNoria { return "exe: it is linked with Noria, and no runtime runs" }
        if program.hasSwiftNIO {
            return "exe: it is linked with SwiftNIO, and none of its loops runs"
        }
        for (part, name) in [
            ("/libuv.so", "libuv"), ("/libevent", "libevent"), ("/libev.so", "libev"),
            ("/libjvm.so", "a JVM"),
        ] where mapped.contains(where: { $0.contains(part) }) {
            return "maps: \(name)"
        }
        if !threads.numbers(named: "tokio-").isEmpty {
            return "task/*/comm: threads named 'tokio-…', Rust's Tokio"
        }
        guard program.isReadable else { return "exe: \(executable) can't be read" }
        return "exe: \(executable), without a sign of a loop that is known (it may be stripped)"
    }

    /// The threads that are known to run its loop; of Python's, those that may, the first one first.
    func loopThreads(_ processID: Int32, _ threads: ProcessThreads) -> [Int32] {
        switch self {
        case .asyncio, .uvloop:
            [processID] + threads.threads.keys.filter { $0 != processID }.sorted()
        case .node: [processID]
        case .swiftNIO: threads.numbers(named: "NIO-ELT-")
        case .noria:
            // The first loop is the main thread's, unless the runtime is embedded.
            threads.numbers(named: "noria loop 0").isEmpty
                ? [processID] + threads.numbers(named: "noria loop")
                : threads.numbers(named: "noria loop")
        case .noriaWorker, .python, .go, .unknown: []
        }
    }
}
