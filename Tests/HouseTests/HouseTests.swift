// SPDX-License-Identifier: Apache-2.0
import TestSupport
import Testing

/// What ARCHITECTURE.md and DESIGN §2 say of the sources, read in the sources.
@Suite("The house keeps its own rules")
struct HouseTests {
    /// What a target may import, and what only some of its files may.
    struct Floor: CustomStringConvertible, Sendable {
        let target: String
        let modules: Set<String>
        var inFiles: [String: Set<String>] = [:]
        var description: String { target }
    }

    static let floors = [
        Floor(
            target: "NoriaSystem",
            modules: ["CNoria", "Glibc", "SystemPackage"],
            // Names of functions in stacks.
            inFiles: ["Runtime": ["StackSymbols.swift"]]
        ),
        Floor(target: "NoriaEngine", modules: ["NoriaSystem", "SystemPackage", "Synchronization"]),
        Floor(
            target: "Noria",
            modules: [
                "NoriaEngine", "NoriaSystem", "SystemPackage", "Synchronization", "Logging",
                "Metrics", "CoreMetrics", "ServiceLifecycle", "Collections", "DequeModule",
                "OrderedCollections", "FoundationEssentials",
            ],
            inFiles: [
                // The executor hooks, the current task, the listed ones, Dispatch's main queue.
                "CNoria": [
                    "ExecutorInstallation.swift", "EventLoop+Tasks.swift", "TaskHook.swift",
                    "TaskSnapshot.swift", "DebugWatch.swift", "DispatchMainQueue.swift",
                ],
                "_Concurrency": ["ExecutorInstallation.swift"],
            ]
        ),
        Floor(
            target: "NoriaNIO",
            modules: [
                "Noria", "NoriaEngine", "NoriaSystem", "NIOCore", "Dispatch", "SystemPackage",
                "Synchronization",
            ]
        ),
        Floor(
            target: "NoriaHummingbird",
            modules: [
                "Noria", "NoriaNIO", "NoriaSystem", "NIOCore", "NIOHTTP1", "NIOHTTP2", "NIOPosix",
                "NIOSSL", "NIOTLS", "Hummingbird", "HummingbirdCore", "HummingbirdHTTP2",
                "HummingbirdTLS", "HTTPTypes", "NIOHTTPTypes", "NIOHTTPTypesHTTP1", "Logging",
                "ServiceLifecycle", "FoundationEssentials",
            ]
        ),
        Floor(
            target: "NoriaGRPC",
            modules: [
                "Noria", "NoriaNIO", "NoriaSystem", "NIOCore", "NIOSSL", "GRPCCore",
                "GRPCNIOTransportHTTP2Posix", "ServiceLifecycle",
            ]
        ),
        Floor(
            target: "NoriaCommand",
            modules: [
                "Noria", "NoriaSystem", "SystemPackage", "Synchronization", "ArgumentParser",
                "FoundationEssentials", "Logging", "Subprocess",
            ]
        ),
    ]

    @Test("Each floor imports what stands in the table, and nothing else", arguments: floors)
    func imports(floor: Floor) throws {
        let files = try SourceTree.files("Sources/\(floor.target)", endingIn: ".swift")
        #expect(files.count > 1)
        var seen: Set<String> = []
        for file in files {
            for module in file.imports.map(String.init) {
                seen.insert(module)
                let isAllowed =
                    floor.modules.contains(module)
                    || floor.inFiles[module]?.contains(file.name) == true
                #expect(isAllowed, "\(file) imports \(module)")
            }
        }
        // A reader that found no import would find no fault either.
        #expect(seen.contains("NoriaSystem") || seen.contains("Glibc"), "\(seen)")
    }

    @Test("Every folder of Sources is a floor of the table")
    func folders() {
        let folders = Set(LeakCheck.entries(of: "\(SourceTree.root)/Sources"))
        let adapters: Set = ["NoriaNIO", "NoriaHummingbird", "NoriaGRPC"]
        #expect(
            folders.subtracting(adapters)
                == Set(Self.floors.map(\.target) + ["CNoria"]).subtracting(adapters)
        )
    }

    @Test("The reader of imports knows every form of one, and takes no comment for one")
    func reader() {
        let text: [Substring] = [
            "import A", "internal import B", "public import enum C.D", "@testable import E",
            "@_spi(X) @_spi(Y) internal import F", "// import G", "let import = 1", "    import H",
            "package import struct I.J // import K",
        ]
        let file = SourceTree.File(path: "x.swift", lines: text)
        #expect(file.imports == ["A", "B", "C", "E", "F", "H", "I"])
    }

    @Test("No manifest has unsafe flags, which would bar the package from being a dependency")
    func unsafeFlags() throws {
        let code = try SourceTree.file("Package.swift").code
        #expect(code.contains { $0.contains("treatAllWarnings(as: .error)") })
        for line in code { #expect(!line.contains("unsafeFlags"), "\(line)") }
    }

    @Test("The network knows no backend and has no conditional code")
    func seam() throws {
        let files = try SourceTree.files("Sources/Noria/Network", endingIn: ".swift")
        #expect(files.contains { $0.name == "TCPConnection.swift" })
        let words = [
            "#if", "IOUring", "ioUring", "io_uring", "Epoll", "epoll", "PollSelector", "Selector",
            "ReadinessBackend", "SimulatedBackend", "BackendKind",
        ]
        for file in files {
            for line in file.code {
                for word in words { #expect(!line.contains(word), "\(file): \(line)") }
            }
        }
    }

    @Test(
        "What is unsafe is counted in ARCHITECTURE.md, exactly",
        arguments: ["@unchecked Sendable", "nonisolated(unsafe)"]
    )
    func unsafeCounts(words: String) throws {
        guard let architecture = try? SourceTree.file("ARCHITECTURE.md") else {
            print("skipped: there is no ARCHITECTURE.md to hold '\(words)' against")
            return
        }
        let stated = architecture.lines.first { $0.hasPrefix("\(words): ") }
            .flatMap { Int($0.dropFirst(words.count + 2).prefix { $0.isNumber }) }
        var places: [String] = []
        for file in try SourceTree.files("Sources", endingIn: ".swift") {
            for line in file.code where line.contains(words) { places.append("\(file): \(line)") }
        }
        #expect(stated == places.count, "\(places.joined(separator: "\n"))")
    }

    @Test("A file that steps outside the language's checks says why: SAFETY")
    func safety() throws {
        let words = [
            "@unchecked Sendable", "nonisolated(unsafe)", "@exclusivity(unchecked)",
            "unsafeBitCast",
        ]
        var stepCount = 0
        for file in try SourceTree.files("Sources", endingIn: ".swift")
        where file.code.contains(where: { line in words.contains { line.contains($0) } }) {
            stepCount += 1
            #expect(file.lines.contains { $0.contains("SAFETY") }, "\(file)")
        }
        #expect(stepCount > 5)
    }

    @Test("Every source begins with its licence and stays under 400 lines")
    func shape() throws {
        let sources = try SourceTree.files("Sources", endingIn: ".swift", ".c", ".h")
        let tests = try SourceTree.files("Tests", endingIn: ".swift")
        #expect(sources.count > 40 && tests.count > 10)
        for file in sources + tests {
            #expect(file.lines.first == "// SPDX-License-Identifier: Apache-2.0", "\(file)")
        }
        for file in sources { #expect(file.lines.count <= 400, "\(file): \(file.lines.count)") }
    }

    @Test("No file names a path of the machine that it was written on")
    func paths() throws {
        let files =
            try SourceTree.files("Sources", endingIn: ".swift", ".c", ".h")
            + SourceTree.files("Tests", endingIn: ".swift")
            + SourceTree.files("docs", endingIn: ".md")
            + ["Package.swift", "README.md", "ARCHITECTURE.md"].compactMap {
                try? SourceTree.file($0)
            }
        let root = SourceTree.root
        #expect(root.count > 1)
        for file in files {
            #expect(!file.lines.contains { $0.contains(root + "/") }, "\(file)")
        }
    }
}
