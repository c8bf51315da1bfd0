// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport

/// `noria echo` in a process of its own, on a free port.
struct EchoServer {
    let process: ChildProcess
    let port: Int
    let backend: String

    init(
        _ backend: String,
        port: Int = 0,
        environment: [String: String] = [:],
        arguments: [String] = [],
        readsErrors: Bool = true
    ) throws {
        process = try ChildProcess(
            "noria",
            ["echo", "--port", "\(port)", "--backend", backend] + arguments,
            environment: environment,
            readsErrors: readsErrors
        )
        let line = try process.output.line(containing: "listening on ")
        guard let port = Self.port(in: line) else {
            throw ChildProcess.Failure("no port in '\(line)'")
        }
        self.port = port
        self.backend = backend
    }

    /// Of `listening on 127.0.0.1:80 …`, or `[::1]:80`.
    private static func port(in line: String) -> Int? {
        let address = line.split(separator: " ").dropFirst(2).first ?? ""
        return address.split(separator: ":").last.flatMap { Int($0) }
    }

    func connect(receiveBuffer: Int? = nil) throws -> BlockingClient {
        try BlockingClient(port: port, receiveBuffer: receiveBuffer)
    }

    /// Ends it as a service manager does; it must end by itself, with code 0.
    func end() throws -> ChildProcess.Exit {
        process.signal(SIGTERM)
        return try process.waitForExit()
    }
}

/// The backends to test: the one that `NORIA_BACKEND` names, else all that start here.
enum Backends {
    static let all: [String] = {
        if let name = getenv("NORIA_BACKEND") { return [String(cString: name)] }
        return ["io_uring", "epoll", "poll"].filter { name in
            if (try? EchoServer(name)) != nil { return true }
            print("skipped: \(name) can't be had on this machine")
            return false
        }
    }()
}
