// SPDX-License-Identifier: Apache-2.0
import TestSupport
import Testing

@testable import Noria

@Suite("The guides compile, and are whole")
struct GuideTests {
    static let names = ["from-asyncio.md", "checklist.md"]

    @Test("each block of Swift compiles without a warning", arguments: names, UserMode.all)
    func compiles(name: String, mode: UserMode) throws {
        let sources = try Guide(name).sources
        #expect(!sources.isEmpty, "\(name) has no block of Swift")
        for source in sources {
            // The number of a line is that in the page.
            let unexpected = try Compiler.check(source, mode).filter { !mode.allows($0) }
            #expect(unexpected.isEmpty, "docs/\(name), \(source) in \(mode): \(unexpected)")
        }
    }

    @Test("what a guide says that the compiler refuses, it refuses where it stands")
    func refuses() throws {
        let misuses = try Self.names.flatMap { try Guide($0).misuses }
        #expect(misuses.count >= 4)
        for misuse in misuses {
            let seen = try Compiler.check(misuse, UserMode.all[0])
            for mark in misuse.marks {
                #expect(
                    seen.contains {
                        $0.line == mark.line && $0.kind == mark.kind && $0.text.contains(mark.text)
                    },
                    "\(misuse):\(mark.line): no \(mark.kind) '\(mark.text)' in \(seen)"
                )
            }
        }
    }

    @Test("a block that does not compile is seen, with its line in the page")
    func seesBrokenBlocks() throws {
        let page = """
            # Title

            ```swift
            print(runtime.backend)
            ```

            ```python
            this is not looked at
            ```

            ```swift
            import Logging
            let count: Int = "text"
            ```

            ```swift
            @main struct Program {
                static func main() { let unused = 1 }
            }
            ```
            """
        let sources = Guide(name: "page.md", text: page).sources
        #expect(sources.map(\.name) == ["page-Program16.swift", "page-Parts.swift"])
        let seen = try sources.map { try Compiler.check($0, UserMode.all[0]) }
        #expect(seen[0].map { "\($0.line) \($0.kind)" } == ["18 warning"])
        #expect(seen[1].map { "\($0.line) \($0.kind)" } == ["13 error"])
    }

    @Test("what a service uses of asyncio stands in the guide's first column")
    func namesAll() throws {
        let found = try Guide("from-asyncio.md").firstColumn
        let missing = Self.asyncio.filter { !found.contains($0) }
        #expect(missing.isEmpty, "docs/from-asyncio.md has no row of \(missing)")
    }

    @Test("each knob and each suite of tests that a guide names is there", arguments: names)
    func namesWhatIs(name: String) throws {
        let page = try Guide(name)
        let knobs = Set(Knob.all.map(\.variable))
        let unknown = page.words { $0.hasPrefix("NORIA_") && $0 != "NORIA_" }.subtracting(knobs)
        #expect(unknown.isEmpty, "docs/\(name) names knobs that are none: \(unknown)")
        let files = LeakCheck.entries(of: "\(Compiler.root)/Tests/EndToEndTests")
        let suites = page.words { $0.hasSuffix("Tests") && $0 != "Tests" }
        let missing = suites.filter { !files.contains("\($0).swift") }
        #expect(missing.isEmpty, "docs/\(name) names tests that are none: \(missing)")
    }

    @Test("a name that stands elsewhere than in a first column is missing")
    func seesMissingNames() {
        let table = """
            | asyncio | Noria |
            |---|---|
            | `run`, `Runner` | not `gather` |
            `wait`
            """
        let page = Guide(name: "page.md", text: table + "NORIA_NOTHING=1 in NoTests.")
        #expect(page.firstColumn == ["run", "Runner"])
        #expect(page.words { $0.hasPrefix("NORIA_") } == ["NORIA_NOTHING"])
        #expect(page.words { $0.hasSuffix("Tests") } == ["NoTests"])
    }

    /// Written down apart from the guide: what has to stand in it.
    static let asyncio = """
        run Runner get_running_loop call_soon call_soon_threadsafe call_later call_at create_task
        TaskGroup gather wait as_completed timeout wait_for shield sleep to_thread run_in_executor
        set_default_executor ProcessPoolExecutor set_debug slow_callback_duration
        set_exception_handler add_signal_handler all_tasks current_task CancelledError
        shutdown_asyncgens shutdown_default_executor loop.close open_connection start_server
        StreamReader.read StreamReader.readline StreamReader.readexactly StreamReader.readuntil
        StreamWriter.write StreamWriter.drain StreamWriter.close StreamWriter.wait_closed start_tls
        open_unix_connection start_unix_server create_server create_connection
        create_unix_server Server.serve_forever Server.close create_datagram_endpoint sock_recv
        sock_sendall sock_accept sock_connect add_reader add_writer create_subprocess_exec Queue
        Event Lock Semaphore Condition Barrier contextvars run_coroutine_threadsafe iscoroutine
        eager_task_factory uvloop.install uvloop.run PYTHONASYNCIODEBUG
        """.split { $0 == " " || $0 == "\n" }.map(String.init)
}
