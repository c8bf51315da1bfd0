// SPDX-License-Identifier: Apache-2.0
import Glibc
import Noria

/// A ledger over TCP: `ProductionService HOST PORT FOLDER COPY-FOLDER`.
///
/// A request is a line, `PING`, `SAVE TEXT` or `PRIMES N`; texts are kept in both folders.
@main
struct ProductionService {
    static let words = CommandLine.arguments

    static func main() {
        guard words.count == 5, let port = Int(words[2]) else {
            print("usage: ProductionService HOST PORT FOLDER COPY-FOLDER")
            exit(64)
        }
        var configuration = RuntimeConfiguration.production

        // 1. Policy: io_uring where the kernel gives it, else epoll, else poll; NORIA_BACKEND
        //    overrides it. `requireBackend` below asserts the first choice, or says why not.
        configuration.backend = .prefer(.ioUring)

        // 2. Default executor: calls that block have 8 threads, up to 32 while some wait, and a
        //    queue of 1,024; calls that compute have one for each processor. No loop waits for them.
        configuration.blocking.threadLimit = 8
        configuration.blocking.maximumThreadLimit = 32

        // 3. Exception handler: an error that nobody awaits comes here, and the service goes on.
        //    Debug mode costs processor time: it is off, whatever NORIA_DEBUG says.
        configuration.diagnostics.debug = .off
        configuration.diagnostics.uncaughtErrors = UncaughtErrorHandler { say("alert: \($0)") }

        // 4. Graceful shutdown: SIGTERM lets nobody in, answers what was asked, and ends with 0. At
        //    the deadline the process ends with 70, and the report names what was abandoned.
        configuration.shutdown.deadline = .seconds(10)
        configuration.shutdown.reportPath = FilePath("\(words[3])/shutdown.json")

        Runtime.main(configuration) { runtime in
            do { try runtime.requireBackend(.ioUring) } catch { say("policy: \(error)") }
            let limits = StreamLimits(readTimeout: .seconds(10), connectionLimit: 10_000)
            let listener = try await TCPListener.bind(host: words[1], port: port, limits: limits)
            say("policy: \(runtime.backend.kind) runs; listening on \(listener.localAddress)")
            try await listener.serve { connection in
                for try await line in connection.inbound.lines(limit: 4096) {
                    try await connection.outbound.write("\(answer(to: line, runtime))\n")
                }
            }
        }
    }

    static func answer(to line: String, _ runtime: Runtime) async throws -> String {
        let request = line.split(separator: " ", maxSplits: 1).map(String.init)
        switch (request.first, request.count, request.last.flatMap { Int($0) }) {
        case ("PING", 1, _): return "PONG"
        case ("SAVE", 2, _):
            try await runtime.blocking.run(name: "save") { try append(request[1], to: words[3]) }
            Task(name: "copy") {  // nobody awaits it
                try await runtime.blocking.run { try append(request[1], to: words[4]) }
            }
            return "SAVED"
        case ("PRIMES", 2, let limit?) where 2...1_000_000 ~= limit:
            return try await runtime.compute.run {
                "\((2...limit).count { n in !(2..<n).prefix { $0 * $0 <= n }.contains { n % $0 == 0 } })"
            }
        default: return "ERR: use PING, SAVE TEXT, or PRIMES N with N from 2 to 1000000"
        }
    }

    /// Waits for a lock that other programs may hold, and for the disk.
    static func append(_ text: String, to folder: String) throws {
        let ledger = open("\(folder)/ledger.txt", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
        defer { close(ledger) }
        guard ledger >= 0, flock(ledger, LOCK_EX) == 0,
            write(ledger, "\(text)\n", text.utf8.count + 1) > text.utf8.count, fsync(ledger) == 0
        else { throw Errno(rawValue: errno) }
    }
}

/// At once, also into a pipe.
func say(_ line: String) { _ = try? FileDescriptor.standardOutput.writeAll("\(line)\n".utf8) }
