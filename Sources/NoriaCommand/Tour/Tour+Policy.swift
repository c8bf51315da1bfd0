// SPDX-License-Identifier: Apache-2.0
import FoundationEssentials
import Noria
import NoriaSystem

/// Step 1: without a policy, a service runs on what it happens to get, and nobody knows on what.
extension Tour {
    func showPolicy() async {
        await step(.policy, "self-test", doing: "trying each kernel interface by using it") {
            try await self.selfTest()
        }
        await step(.policy, "fallback", doing: "forbidding io_uring by a seccomp filter") {
            try await self.fallback()
        }
        await step(.policy, "assertion", doing: "asking for io_uring alone, and forbidding it") {
            try await self.assertion()
        }
        await step(.policy, "echo", doing: "50 clients with 1 KiB each, for 2 s") {
            try await self.echo()
        }
    }

    /// What the doctor has tried is what a server takes.
    private func selfTest() async throws -> Verdict {
        let doctor = try await TourChild.run(["doctor", "--json"])
        guard let json = doctor.json else {
            throw TourChild.Failure("noria doctor --json: \(doctor.status), and no JSON")
        }
        let machine = try JSONDecoder().decode(MachineReport.self, from: Data(json.utf8))
        let available = machine.backends.filter(\.isAvailable).map { "\($0.kind)" }
        var served = ""
        let server = try await TourChild.run(["echo", "--port", "0"]) { child in
            served = try await child.listens().backend
            child.terminate()
        }
        let asked = Thread.environment("NORIA_BACKEND") ?? "automatic"
        let expected = asked == "automatic" ? machine.automatic.map { "\($0)" } : asked
        return Verdict(
            held: served == expected && available.contains(served) && server.exitCode == 0,
            finding: "\(served) serves, where \(asked) was asked for; tried by using them:"
                + " \(available.joined(separator: ", "))",
            advice: "'noria doctor' says what each kernel interface lacks here"
        )
    }

    private func fallback() async throws -> Verdict {
        var served = ""
        var tally = TourLoad.Tally()
        let arguments = ["echo", "--port", "0", "--refuse-io-uring", "eperm"]
        let end = try await TourChild.run(arguments, ignoring: ["NORIA_BACKEND"]) { child in
            let (port, backend) = try await child.listens()
            served = backend
            let load = TourLoad(port: port, byteCount: 1024)
            await load.talk(1, messages: 10)
            tally = load.tally
            child.terminate()
        }
        let reason = end.lines.lazy.compactMap(Self.refusal).first
        return Verdict(
            held: served == "epoll" && tally.answers == 10 && end.exitCode == 0 && reason != nil,
            finding: "\(served) serves instead, with \(tally.text), and the log says why:"
                + " \(reason ?? "it does not")",
            advice: "read the log of 'noria echo --refuse-io-uring eperm'"
        )
    }

    /// What the start line says behind `io_uring: `, up to its advice.
    private static func refusal(in line: String) -> String? {
        let parts = line.split(separator: "(io_uring: ", maxSplits: 1)
        guard parts.count == 2 else { return nil }
        return parts[1].split(separator: ";", maxSplits: 1).first.map(String.init)
    }

    private func assertion() async throws -> Verdict {
        let end = try await TourChild.run(
            ["echo", "--port", "0", "--backend", "io_uring", "--refuse-io-uring", "eperm"]
        ) { child in
            // It should end by itself. If it listens it does not.
            while let line = try await child.nextLine() {
                if line.contains("listening on ") { child.terminate() }
            }
        }
        return Verdict(
            held: end.exitCode == 78 && end.lines.contains { $0.contains("io_uring: ") },
            finding: "a service that must have io_uring ends before it starts: \(end.status)",
            advice: "'try runtime.requireBackend(.ioUring)' asserts the same in the code"
        )
    }

    private func echo() async throws -> Verdict {
        let (clients, byteCount, length) = (50, 1024, Duration.seconds(2))
        var (tally, processorSeconds, served) = (TourLoad.Tally(), 0.0, "")
        let end = try await TourChild.run(["echo", "--port", "0"]) { child in
            let (port, backend) = try await child.listens()
            served = backend
            let load = TourLoad(port: port, byteCount: byteCount)
            let before = try child.processorSeconds()
            let until = ContinuousClock.now + length
            await withTaskGroup { group in
                for client in 0..<clients {
                    group.addTask { await load.talk(client, until: until) }
                }
            }
            processorSeconds = try child.processorSeconds() - before
            tally = load.tally
            child.terminate()
        }
        let rate = Double(tally.answers) / length.seconds
        let cost = processorSeconds * 1e6 / Double(max(tally.answers, 1))
        return Verdict(
            held: tally.answers >= clients && tally.faults.isEmpty && processorSeconds > 0
                && end.exitCode == 0,
            finding: "\(Int(rate)) requests/s, \(cost.rounded(toPlaces: 1)) µs of CPU time each"
                + " (\(served), 50 connections, 1 KiB, this program is the client), \(tally.text)",
            advice: "50 clients need 'ulimit -n 150', and a network on 127.0.0.1",
            figures: [
                "requestsPerSecond": rate, "cpuMicroseconds": cost,
                "answersCount": Double(tally.answers),
            ]
        )
    }
}
