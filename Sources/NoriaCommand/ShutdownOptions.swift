// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Noria
import NoriaSystem
import SystemPackage

/// How the end of `noria echo` goes, and what is to keep it from going so.
struct ShutdownOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "From SIGTERM to the end of the process, at most, in seconds. (default: 25)",
            valueName: "seconds"
        )
    )
    var shutdownDeadline: Double?

    @Option(
        help: ArgumentHelp(
            "From SIGTERM to the drain, in seconds: everything goes on. (default: 0)",
            valueName: "seconds"
        )
    )
    var grace: Double?

    @Option(
        help: ArgumentHelp(
            "Where the report of the end is written to, as JSON.",
            valueName: "file"
        )
    )
    var report: String?

    @Option(
        help: ArgumentHelp(
            "What never ends, on purpose: a task, a loop, a pool's job, or several of them, as"
                + " 'task,loop,job'.",
            valueName: "kinds"
        )
    )
    var stuck: String?

    private enum Kind: String { case task, loop, job }

    private func kinds() throws -> [Kind] {
        try (stuck ?? "").split(separator: ",").map { word in
            guard let kind = Kind(rawValue: String(word)) else {
                throw ValidationError("'--stuck \(word)': task, loop or job")
            }
            return kind
        }
    }

    func check() throws {
        _ = try kinds()
        if let shutdownDeadline, !(0.01...86_400).contains(shutdownDeadline) {
            throw ValidationError(
                "'--shutdown-deadline \(shutdownDeadline)': from 0.01 to 86400 seconds"
            )
        }
        if let grace, !(0...(shutdownDeadline ?? 25) / 2).contains(grace) {
            throw ValidationError("'--grace \(grace)': from 0 to half of the deadline, in seconds")
        }
    }

    func apply(to configuration: inout RuntimeConfiguration) {
        if let shutdownDeadline {
            configuration.shutdown.deadline = .milliseconds(Int(shutdownDeadline * 1000))
            configuration.typedKnobs.insert("shutdown.deadline")
        }
        if let grace {
            configuration.shutdown.grace = .milliseconds(Int(grace * 1000))
            configuration.typedKnobs.insert("shutdown.grace")
        }
        if let report {
            let path = FilePath(report)
            configuration.shutdown.reportPath =
                path.isAbsolute ? path : FilePath(Thread.workingFolder).appending(path.components)
            configuration.typedKnobs.insert("shutdown.reportPath")
        }
    }

    /// Begins what never ends.
    ///
    /// The loop last: nothing runs on it from then on.
    func begin(_ runtime: Runtime) throws {
        let kinds = try kinds()
        if kinds.contains(.task) {
            runtime.spawn(name: "stuck-task") { await swallowCancellation() }
        }
        if kinds.contains(.job) {
            let pipe = try FileDescriptor.pipe()
            runtime.spawn(name: "stuck-job's caller") {
                try await runtime.blocking.run(name: "stuck-job") {
                    try readForEver(pipe.readEnd)
                }
            }
        }
        if kinds.contains(.loop) {
            runtime.spawn(name: "stuck-loop", on: runtime.eventLoops.main) {
                while true { blockOnPurpose(milliseconds: 1000) }
            }
        }
    }
}

/// A task that is cancelled, and waits on for what never comes.
@inline(never)
private func swallowCancellation() async {
    try? await Task.sleep(for: .seconds(86_400))
    await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in }
}

/// Nobody ever writes to the other end.
@inline(never)
private func readForEver(_ end: FileDescriptor) throws {
    var byte: UInt8 = 0
    while true { _ = try withUnsafeMutableBytes(of: &byte) { try end.read(into: $0) } }
}
