// SPDX-License-Identifier: Apache-2.0
internal import Logging
public import NoriaEngine
internal import NoriaSystem

extension Runtime {
    /// Asserts that `kind` runs.
    ///
    /// - Throws: `.backendUnavailable` with the reasons, when another does.
    public func requireBackend(_ kind: BackendKind) throws(RuntimeError) {
        guard backend.kind != kind else { return }
        throw RuntimeError(.backendUnavailable("\(kind) was required and \(backend) runs"))
    }

    /// Says what is particular about a run that took the process over.
    func logStart(_ residualCount: Int) {
        logStart()
        let logger = configuration.logger
        if let note = ExecutorInstallation.note { logger.warning("executors: \(note)") }
        if residualCount > 0 {
            logger.info("\(residualCount) jobs were left from the run before; they run first")
        }
    }

    /// Says once what runs here, what was changed, and which variables nothing reads.
    func logStart() {
        let logger = configuration.logger
        let checks = productionCheck()
        watchdog.publish(checks)
        logger.log(level: Self.level(checks, configuration), "started: \(checks.text)")
        let changed = configuration.knobs().filter { $0.source != .default }
            .map { "\($0.name)=\($0.value) (\($0.source))" }
        if !changed.isEmpty { logger.info("configuration: \(changed.joined(separator: ", "))") }
        let unknown = configuration.unknownVariables.map { "\($0.name) (is \($0.nearest) meant?)" }
        if !unknown.isEmpty {
            logger.warning("variables that nothing reads: \(unknown.joined(separator: ", "))")
        }
        // Before the program says anything itself, and once only: a log that is stuck holds nobody up.
        _ = log.flush(nanoseconds: 100_000_000)
    }

    /// What slows a service down and was not chosen for the desk is a warning.
    static func level(
        _ checks: [ProductionCheck],
        _ configuration: RuntimeConfiguration
    ) -> Logger.Level {
        guard !checks.allSatisfy(\.isOK) else { return .info }
        let isSlow = checks.contains { ["debug", "optimised build"].contains($0.name) && !$0.isOK }
        return isSlow && !configuration.isForDesk ? .warning : .notice
    }

    /// After the last line of the log.
    ///
    /// What could not be written is said, if that can be.
    func endReports() {
        let lostCount = reports.end(nanoseconds: 1_000_000_000)
        log.end()
        if lostCount > 0, Descriptor.isWritable(2) {
            Thread.write("noria: \(lostCount) reports could not be written\n", to: 2)
        }
    }
}
