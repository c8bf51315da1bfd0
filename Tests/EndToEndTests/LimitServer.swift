// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

/// The probe's server under limits, in a process of its own.
struct LimitServer {
    let process: ChildProcess
    let port: Int

    init(_ backend: String, loops: Int = 1, _ limits: String...) throws {
        process = try ChildProcess(
            "NoriaProbe",
            ["limits"] + limits,
            environment: ["NORIA_BACKEND": backend, "NORIA_LOOPS": "\(loops)"]
        )
        let line = try process.output.line(containing: "listening on ")
        guard let port = line.split(separator: ":").last.flatMap({ Int($0) }) else {
            throw ChildProcess.Failure("no port in '\(line)'")
        }
        self.port = port
    }

    /// A client that asks for a handler by its first byte.
    func client(_ text: String = "", receiveBuffer: Int? = nil) throws -> BlockingClient {
        let client = try BlockingClient(port: port, receiveBuffer: receiveBuffer)
        try client.send(Array(text.utf8))
        return client
    }

    /// Waits until it holds its listener and this many connections.
    func waitForConnections(_ count: Int) throws {
        try LeakCheck.waitForSockets(count + 1, of: process.pid)
    }

    /// Waits for this many handlers to have thrown, and gives what they said.
    func errors(_ count: Int) throws -> [String] {
        let lines = { process.output.lines.filter { $0.hasPrefix("ended: ") } }
        try Waiting.until("\(count) errors") {
            lines().count >= count
        } seen: {
            process.output.text
        }
        return lines()
    }

    func end() throws -> ChildProcess.Exit {
        process.signal(SIGTERM)
        return try process.waitForExit()
    }
}

extension BlockingClient {
    /// A message to an echo and back.
    func echoes(_ text: String = "x") throws -> Bool {
        try send(Array(text.utf8))
        return try receive(exactly: text.utf8.count) == Array(text.utf8)
    }

    /// Talks to an echo, in short steps, until something comes for `other`.
    func echo(untilReadable other: BlockingClient) throws {
        for _ in 0..<200 {
            guard try echoes() else { throw ChildProcess.Failure("the healthy one had no echo") }
            if other.isReadable(within: 50) { return }
        }
        throw ChildProcess.Failure("nothing came for the other in ten seconds")
    }

    /// Reads to the end, which is to be a reset.
    func endsByReset() throws -> Bool {
        do {
            _ = try receiveAll()
            return false
        } catch let failure as Failure {
            guard failure.errno == ECONNRESET else { throw failure }
            return true
        }
    }

    func text() throws -> String { String(decoding: try receiveAll(), as: UTF8.self) }
}
