// SPDX-License-Identifier: Apache-2.0
import CSQLite
import Foundation
import FoundationNetworking
import Noria

/// What blocking calls do to a loop, and what one line changes: `BlockingCalls URL FOLDER`.
///
/// A query of SQLite, a walk over a folder's metadata and a GET that waits for its server are made on
/// the loop first, then off it; a timer of 1 ms tells how late the loop is meanwhile.
@main
struct BlockingCalls {
    static func main() {
        let words = CommandLine.arguments
        guard words.count == 3, let url = URL(string: words[1]) else {
            print("usage: BlockingCalls URL FOLDER")
            exit(64)
        }
        let calls: [(name: String, make: @Sendable () throws -> String)] = [
            ("query", { try "\(countNumbers()) rows" }),
            ("walk", { "\(walk(words[2])) files" }),
            ("GET", { try "\(Data(contentsOf: url).count) bytes" }),
        ]
        Runtime.main { runtime in
            for (name, make) in calls {
                let (answer, onLoop) = try await lateness { try make() }
                let (_, offLoop) = try await lateness {
                    try await runtime.blocking.run(name: name, timeout: .seconds(60)) { try make() }
                }
                print("\(name): \(answer); a timer is \(onLoop) late; off the loop \(offLoop)")
            }
        }
    }

    struct Failure: Error { let reason: String }

    /// A million rows, made by the query itself.
    static func countNumbers() throws -> Int {
        var (database, statement): (OpaquePointer?, OpaquePointer?)
        defer { sqlite3_close(database) }
        let query = """
            WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers LIMIT 1000000)
            SELECT count(*) FROM numbers
            """
        defer { sqlite3_finalize(statement) }
        guard sqlite3_open(":memory:", &database) == SQLITE_OK,
            sqlite3_prepare_v2(database, query, -1, &statement, nil) == SQLITE_OK,
            sqlite3_step(statement) == SQLITE_ROW
        else { throw Failure(reason: String(cString: sqlite3_errmsg(database))) }
        return Int(sqlite3_column_int64(statement, 0))
    }

    /// How many files there are: each is asked for its metadata, and may have the disk wait.
    static func walk(_ folder: String) -> Int {
        guard let files = FileManager.default.enumerator(atPath: folder) else { return 0 }
        return files.prefix(20_000).count { _ in files.fileAttributes?[.size] != nil }
    }

    /// The most that a timer of 1 ms came too late while `body` ran, and what that returned.
    static func lateness(
        _ body: () async throws -> String
    ) async throws -> (answer: String, late: Duration) {
        let watch = Task {
            var latest = Duration.zero
            while !Task.isCancelled {
                let due = ContinuousClock.now + .milliseconds(1)
                try? await Task.sleep(until: due, clock: .continuous)
                latest = max(latest, due.duration(to: .now))
            }
            return latest
        }
        defer { watch.cancel() }
        // It must be waiting before the loop is kept from it.
        try await Task.sleep(for: .milliseconds(5))
        let answer = try await body()
        watch.cancel()
        return (answer, await watch.value)
    }
}
