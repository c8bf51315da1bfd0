// SPDX-License-Identifier: Apache-2.0
package import NoriaEngine

/// What `noria doctor` says of this machine.
///
/// Its JSON is an interface: names of keys and of rows stay, new ones may join.
package struct MachineReport: Codable, Sendable {
    /// Whether one backend can be had, and if not, why and what to change.
    package struct Backend: Codable, Sendable {
        package let kind: BackendKind
        package let isAvailable: Bool
        package let reason: String?
        package let features: [String]
    }

    package let backends: [Backend]
    /// The one that `automatic` takes, or nil when there is none.
    package let automatic: BackendKind?
    package let processors: Processors
    package let checks: [MachineCheck]
    /// Every knob, when it was asked for.
    package let configuration: ConfigurationReport?

    /// Tries each backend by using it, and looks at the rest.
    package init(configuration: ConfigurationReport? = nil) {
        self.init(Machine(), Self.tryBackends(), configuration)
    }

    init(
        _ machine: Machine,
        _ backends: [Backend],
        _ configuration: ConfigurationReport? = nil
    ) {
        self.configuration = configuration
        self.backends = backends
        automatic = backends.first(where: \.isAvailable)?.kind
        processors = Processors(machine)
        let hasIOUring = backends.contains { $0.kind == .ioUring && $0.isAvailable }
        checks =
            MachineCheck.kernel(machine, hasIOUring: hasIOUring)
            + MachineCheck.limits(machine, processors)
            + MachineCheck.network(machine)
            + [.exceptionHandler(TaskHook.coverage)]
    }

    private static func tryBackends() -> [Backend] {
        [BackendKind.ioUring, .epoll, .poll].map { kind in
            let (backend, refusals) = BackendSelection.make([kind], bufferCapacity: 4)
            return Backend(
                kind: kind,
                isAvailable: backend != nil,
                reason: refusals.first?.reason,
                features: backend?.features ?? []
            )
        }
    }

    /// Whether a backend can be had, no row asks for a change and no knob is wrong.
    ///
    /// What is unknown asks for no change.
    package var isReady: Bool {
        automatic != nil && !checks.contains { $0.state == .change }
            && configuration?.problems.isEmpty ?? true
    }

    /// The report as JSON, with sorted keys; a key without a value is left out.
    package var json: String {
        get throws { try reportJSON() + "\n" }
    }
}
