// SPDX-License-Identifier: Apache-2.0
import FoundationEssentials
import Noria
import NoriaSystem
import SystemPackage

/// Step 4: without it, each deployment loses requests, or hangs until somebody kills it.
extension Tour {
    func showShutdown() async {
        await step(.shutdown, "SIGTERM under load", doing: "200 clients, and SIGTERM at work") {
            try await self.underLoad()
        }
        await step(.shutdown, "deadline", doing: "a stuck task, loop and job, and 2 s to end") {
            try await self.deadline()
        }
    }

    private func underLoad() async throws -> Verdict {
        let clients = 200
        var tally = TourLoad.Tally()
        let end = try await TourChild.run(["echo", "--port", "0"]) { child in
            let load = TourLoad(port: try await child.listens().port, byteCount: 1024)
            await withTaskGroup { group in
                for client in 0..<clients { group.addTask { await load.talk(client) } }
                // All are at work: the clients never stop by themselves.
                while load.tally.answers < 20 * clients, load.tally.faults.isEmpty {
                    guard (try? await Task.sleep(for: .milliseconds(5))) != nil else { break }
                }
                load.serverWillEnd()
                child.terminate()
            }
            tally = load.tally
        }
        return Verdict(
            held: end.exitCode == 0 && tally.faults.isEmpty && tally.ends == clients
                && tally.answers >= 20 * clients,
            finding: "\(tally.answers) requests were answered whole, \(tally.ends) connections"
                + " ended in order, \(tally.text); \(end.status) after"
                + " \(Int((end.seconds ?? 0) * 1000)) ms",
            advice: "200 clients need 'ulimit -n 300'; else read the log of 'noria echo'",
            figures: [
                "answersCount": Double(tally.answers), "faultsCount": Double(tally.faults.count),
                "endMilliseconds": (end.seconds ?? 0) * 1000,
            ]
        )
    }

    private func deadline() async throws -> Verdict {
        let file = try TourFile()
        let arguments = [
            "echo", "--port", "0", "--stuck", "task,loop,job", "--shutdown-deadline", "2",
            "--report", file.path,
        ]
        let end = try await TourChild.run(arguments) { child in
            _ = try await child.listens()
            child.terminate()
        }
        let left = try file.report().abandoned
        let names = ["stuck-task", "loop 0", "stuck-job"]
        let areNamed = names.allSatisfy { name in left.contains { $0.contains(name) } }
        let seconds = end.seconds ?? 0
        return Verdict(
            held: end.exitCode == ExitCode.abandoned.rawValue && areNamed && seconds <= 3,
            finding: "ended after \(seconds.rounded(toPlaces: 2)) s with \(end.status); the report"
                + " names the task, the loop and the job that hung"
                + (areNamed ? "" : " - it does not: \(left.joined(separator: ", "))"),
            advice: "read the report of 'noria echo --stuck task,loop,job --report FILE'",
            figures: ["endSeconds": seconds, "abandonedCount": Double(left.count)]
        )
    }
}

/// Where a child writes its report to; removed with this value.
final class TourFile {
    let path: String

    init() throws {
        let variable = Thread.environment("TMPDIR") ?? ""
        let folder = variable.isEmpty ? "/tmp" : variable
        path = "\(folder)/noria-tour-\(UInt64.random(in: 0 ... .max)).json"
        do { try SystemFile.write("", to: path) } catch {
            throw TourChild.Failure("no file can be written in \(folder) (TMPDIR): \(error)")
        }
    }

    deinit { try? Files.remove(FilePath(path)) }

    func report() throws -> ShutdownReport {
        do {
            return try JSONDecoder().decode(
                ShutdownReport.self,
                from: Data(try SystemFile.text(of: path).utf8)
            )
        } catch {
            throw TourChild.Failure("no report of the end at \(path): \(error)")
        }
    }
}
