// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport

/// `noria echo --unix` in a process of its own, on a path in a folder of its own.
struct UnixEchoServer {
    let process: ChildProcess
    let folder: TemporaryFolder
    /// The path, or `@name`.
    let name: String

    /// Every test has its own name, by which an abstract one is told from those of other runs.
    init(
        _ backend: String,
        in folder: TemporaryFolder,
        name: String = "echo.sock",
        loops: Int = 1
    ) throws {
        self.folder = folder
        self.name = name.hasPrefix("@") ? name : "\(folder.path)/\(name)"
        process = try ChildProcess(
            "noria",
            ["echo", "--unix", self.name, "--backend", backend, "--loops", "\(loops)"]
        )
        try process.output.line(containing: "listening on ")
    }

    init(_ backend: String, loops: Int = 1) throws {
        try self.init(backend, in: TemporaryFolder(), loops: loops)
    }

    func connect() throws -> BlockingClient { try BlockingClient(unix: name) }

    func end() throws -> ChildProcess.Exit {
        process.signal(SIGTERM)
        return try process.waitForExit()
    }
}
